import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { quarantineIn } from '../../support/appears.ts';
import { pauseAfter } from '../../support/pause.ts';
import { quoteWords } from '../../support/person.ts';
import { cleanEnv, must, run } from '../../support/process.ts';
import {
  directoryOf,
  isQuiet,
  lastRecord,
  type Place,
  records,
  refsOf,
  sharing,
} from './behind.ts';

const packBytes = 256 * 1024;

/** rsync by an ssh client of the admin's. @param options - more for that */
function rsyncOf({ ada, front }: Place, options: readonly string[] = []) {
  const { port, user } = front.sshd;
  const ssh = ['ssh', ...ada.sshOptions(), ...options, '-p', String(port)].join(' ');
  const surroundings = { cwd: ada.home, env: { HOME: ada.home } };
  return (...words: readonly string[]) => {
    const args = words.map((word) => word.replace(/^:/, `${user}@127.0.0.1:`));
    return run('rsync', ['-e', ssh, '-avz', ...args], surroundings);
  };
}

/** What is carried through sshd. @param repo - of the admin's, with something in it */
export function transfers(t: Test, place: Place, repo: string): void {
  const { house, ada } = place;

  t.test('several sessions of one connection at once do not disturb each other', async (t) => {
    const options = sharing(ada);
    t.match(await ada.ssh('whoami', { options }), { status: 0 });
    const signIns = (await records(house, 'sign-in')).length;
    const env = { GIT_SSH_COMMAND: quoteWords(['ssh', ...ada.sshOptions(), ...options]) };
    const work = await ada.worktree('at-once');
    const rsync = rsyncOf(place, options);

    const [shown, ...others] = await Promise.all([
      ada.ssh(`show ${repo} --json`, { options }),
      ada.ssh('show ada/none', { options }),
      ada.git(['clone', '-q', ada.url(repo), 'clone-at-once'], { env }),
      ada.git(['push', '-q', ada.url('ada/at-once'), 'main'], { cwd: work, env }),
      rsync(`:${repo}.git/`, 'at-once.git/'),
    ]);

    t.equal(JSON.parse(shown.stdout).name, repo);
    t.strictSame(
      others.map(({ status }) => status),
      [3, 0, 0, 0],
    );
    t.equal(await refsOf(join(ada.home, 'at-once.git')), await refsOf(directoryOf(house, repo)));
    t.equal((await records(house, 'sign-in')).length, signIns, 'one sign-in for all of them');
  });

  t.test('a client that is killed in the middle of a push leaves nothing behind', async (t) => {
    const work = await ada.worktree('killed');
    writeFileSync(join(work, 'noise'), randomBytes(packBytes));
    await ada.git('add noise', { cwd: work });
    await ada.git('commit -q -m noise', { cwd: work });
    const pause = await pauseAfter(t, ada, packBytes / 2);
    const git = spawn('git', ['push', '-q', ada.url('ada/killed'), 'main'], {
      cwd: work,
      env: cleanEnv({ ...ada.gitEnv(), ...pause.env }),
      // A group of its own, so that git, ssh and all between them die at once.
      detached: true,
      stdio: 'ignore',
    });
    const ended = once(git, 'exit');
    await pause.reached;
    await quarantineIn(directoryOf(house, 'ada/killed'));

    process.kill(-(git.pid ?? 0), 'SIGKILL');
    await ended;
    await isQuiet(house);

    t.match(await lastRecord(house, 'git-receive-pack'), {
      ...{ door: 'forced', target: 'ada/killed', outcome: 'interrupted' },
    });
    t.notOk(existsSync(directoryOf(house, 'ada/killed')), 'what the push would have made');
  });
}

/** rsync by hand. @param repo - as for `transfers` */
export function rsyncAlone(t: Test, place: Place, repo: string): void {
  const { house, ada } = place;

  t.test('plain rsync reads and writes through sshd', async (t) => {
    const rsync = rsyncOf(place);
    const live = directoryOf(house, repo);
    const copy = join(ada.home, 'copy.git');

    t.match(await rsync('--delete', `:${repo}.git/`, 'copy.git/'), { status: 0, stderr: '' });
    t.equal(await refsOf(copy), await refsOf(live));
    await must('git', ['-C', copy, 'update-ref', 'refs/heads/by-rsync', 'main']);
    t.match(await rsync('copy.git/', `:${repo}.git/`), { status: 0, stderr: '' });

    t.match(await refsOf(live), /refs\/heads\/by-rsync\n/);
    t.equal(await refsOf(copy), await refsOf(live));
    t.match(await lastRecord(house, 'rsync'), {
      ...{ door: 'forced', principal: 'user:ada', address: '127.0.0.1', outcome: 'ok' },
    });
    const missing = await rsync(':ada/none.git/', 'none.git/');
    t.match(missing, { status: 12, stderr: /cpm: ada\/none: no such repository/ });
  });
}
