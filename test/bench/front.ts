import { existsSync } from 'node:fs';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { type Behind, clientPath, Front, standAlone } from '../support/front.ts';
import { House } from '../support/house.ts';
import type { Person } from '../support/person.ts';
import { must } from '../support/process.ts';
import { freePort } from '../support/sshd.ts';
import { settled, spread } from './measure.ts';
import { addUsers } from './people.ts';
import { keyLines } from './sshd.ts';

type Print = (line?: string) => void;
type Closing = { teardown(close: () => unknown): void };

const branches = 10;

/** One sshd, and the same repository twice behind it: with cpm, and with git-shell on a port of its own. */
interface Place {
  readonly house: House;
  /** Of sshd. */
  readonly pid: number;
  readonly cpm: Ask;
  readonly gitShell: Ask;
}

/** `git ls-remote`, by one person. @returns what it printed */
type Ask = () => Promise<string>;

/**
 * What cpm adds to a connection that comes through sshd, with a running server: against git-shell behind the same sshd,
 * with the compiled client and without it, with few keys and with many.
 */
export async function front(
  print: Print,
  closing: Closing,
  { counts, rounds }: { counts: readonly number[]; rounds: number },
): Promise<void> {
  for (const behind of ['client', 'node'] as const) {
    if (behind === 'client' && !existsSync(clientPath())) {
      print('with the C client: not measured, there is no C compiler');
      continue;
    }
    if (behind === 'node') standAlone(closing);
    const place = await openPlace(closing, behind);
    let keys = 1;
    for (const count of counts) {
      await addKeys(place.house, { from: keys, to: count });
      keys = count;
      const what = behind === 'client' ? 'with the C client' : 'without it, by Node';
      await compare(print, place, { rounds, title: `${what}, keys: ${count}` });
    }
  }
}

async function openPlace(closing: Closing, behind: Behind): Promise<Place> {
  const house = await House.open(closing);
  const { admin, folder } = house;
  const port = await freePort();
  const lines = [
    `ListenAddress 127.0.0.1:${port}`,
    // The first value of a keyword counts: what follows for everybody else does not change these.
    `Match LocalPort ${port}`,
    'AuthorizedKeysCommand none',
    ...keyLines(join(folder, 'git-shell'), admin.key),
  ];
  const { sshd } = await Front.open(closing, house, { behind, lines });
  const plain = join(folder, 'plain.git');
  await must('git', ['init', '-q', '--bare', '-b', 'main', plain]);
  const here = admin.at(sshd, sshd.user);
  const there = admin.at({ port }, sshd.user);
  const urls = { cpm: here.url(`${admin.name}/app`), gitShell: there.url(plain.slice(1)) };
  const work = await admin.worktree();
  const refs = Array.from({ length: branches }, (_, nth) => `main:refs/heads/b${nth}`);
  for (const url of Object.values(urls)) {
    await must('git', ['push', '-q', url, 'main', ...refs], { cwd: work, env: admin.gitEnv() });
  }
  return {
    house,
    pid: sshd.pid,
    cpm: asks(admin, urls.cpm),
    gitShell: asks(admin, urls.gitShell),
  };
}

function asks(person: Person, url: string): Ask {
  const { home: cwd } = person;
  const env = person.gitEnv();
  return async () => (await must('git', ['ls-remote', '-q', url], { cwd, env })).stdout;
}

/** As many more users, each with a key, while nobody has the database open. */
async function addKeys(house: House, { from, to }: { from: number; to: number }): Promise<void> {
  if (to === from) return;
  await house.stop();
  const db = new Sqlite(join(house.dataDir, 'cpm.db'));
  addUsers(db, to - from);
  db.close();
  await house.restart();
}

/** Both in turns: who goes first changes from round to round. @throws when their refs differ */
async function compare(
  print: Print,
  place: Place,
  { rounds, title }: { rounds: number; title: string },
): Promise<void> {
  const taken = { cpm: [] as number[], gitShell: [] as number[] };
  // Round 0 warms caches and just-in-time code, and is thrown away.
  for (let round = 0; round <= rounds; round += 1) {
    const said: string[] = [];
    const order = ['cpm', 'gitShell'] as const;
    for (const which of round % 2 === 0 ? order : order.toReversed()) {
      // sshd ends its processes of a connection after the client has gone.
      await settled(place.pid);
      const begun = performance.now();
      said.push(await place[which]());
      if (round > 0) taken[which].push(performance.now() - begun);
    }
    if (said[0] !== said[1] || said[0] === '') throw new Error('the two hold different refs');
  }
  const more = taken.cpm.map((ms, nth) => ms - (taken.gitShell[nth] ?? Number.NaN));
  print(`git ls-remote through sshd, ${title}: ${rounds} pairs`);
  for (const [name, times] of Object.entries({
    cpm: taken.cpm,
    'git-shell': taken.gitShell,
    'cpm takes more': more,
  })) {
    const { min, median, max } = spread(times);
    const shown = [min, median, max].map((ms) => ms.toFixed(1).padStart(8)).join('');
    print(`  ${name.padEnd(15)}${shown} ms (min, median, max)`);
  }
}
