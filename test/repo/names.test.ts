import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { json, refused } from '../commands/scenario.ts';
import { House } from '../support/house.ts';

// acme: bo owns it, cy is an admin of acme/app alone, ana may read.
const house = await House.open(t);
const [bo, cy, ana] = [
  await house.person('bo'),
  await house.person('cy'),
  await house.person('ana'),
];
await bo.ssh('org create acme');
const work = await bo.worktree();

async function make(repo: string): Promise<void> {
  await bo.git(['push', '-q', bo.url(repo), 'main'], { cwd: work });
  await bo.ssh(`repo access grant ${repo} cy admin`);
  await bo.ssh(`repo access grant ${repo} ana read`);
}

const url = (repo: string) => `ssh://cpm@[^/]+:${house.port}/${repo}.git`;
const onDisk = (repo: string) => join(house.dataDir, 'repositories', `${repo}.git`);
const asJson = (person: typeof bo, line: string) =>
  json({ run: (words) => person.ssh(words) }, line);

t.test(
  'who reads by an old name is led to the new one and told; who pushes is refused with its URL',
  async (t) => {
    await make('acme/app');

    t.match(await asJson(cy, 'repo rename acme/app core'), {
      changed: true,
      name: 'acme/core',
      clone_url: new RegExp(`${url('acme/core')}$`),
    });

    t.notOk(existsSync(onDisk('acme/app')));
    t.ok(existsSync(onDisk('acme/core')));
    const clone = await ana.git(['clone', '-q', ana.url('acme/app'), 'old']);
    t.match(clone, {
      status: 0,
      stderr: /^acme\/app is called acme\/core now: ssh:\/\/.*\/acme\/core\.git$/m,
    });
    t.match(await ana.git('fetch origin', { cwd: join(ana.home, 'old') }), { status: 0 });
    t.match(await ana.ssh('show acme/app --json'), {
      status: 0,
      stderr: 'acme/app is called acme/core now\n',
      stdout: /"name":"acme\/core"/,
    });
    const push = await bo.git(['push', bo.url('acme/app'), 'main:more'], { cwd: work });
    t.match(push, { status: 128 });
    t.match(
      push.stderr,
      new RegExp(
        `^fatal: remote error: cpm: acme/app is called acme/core now, and changed by that name alone\nhint: git remote set-url origin ${url('acme/core')}$`,
        'm',
      ),
    );
    t.match(
      await cy.ssh('repo set acme/app --description x'),
      refused(4, /acme\/app is called acme\/core now/, /acme\/core/),
    );
    t.match(await bo.git(['push', '-q', bo.url('acme/core'), 'main:more'], { cwd: work }), {
      status: 0,
    });
  },
);
