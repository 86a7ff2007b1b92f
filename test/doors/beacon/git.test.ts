import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { pkt } from '../../../src/model/pktline.ts';
import { beaconConfig, beaconPort, tell } from '../../support/beacon.ts';
import { House } from '../../support/house.ts';

const house = await House.open(t, { config: beaconConfig });
const port = beaconPort(house);
const url = (repo: string) => `git://127.0.0.1:${port}/${repo}`;
const { admin } = house;
const work = await admin.worktree();
await admin.ssh('org create acme');
for (const visibility of ['public', 'internal', 'private']) {
  await admin.ssh(`init acme/${visibility} --visibility ${visibility}`);
  await admin.git(['push', '-q', admin.url(`acme/${visibility}`), 'main', 'main:topic'], {
    cwd: work,
  });
}
await admin.ssh('repo alias add Old/Group/Thing acme/public');
await admin.ssh('init tool --visibility public');
const stranger = await house.stranger('sam');
const git = (words: string) => stranger.git(words);

t.test('a public repository is listed and cloned by everybody, in every protocol', async (t) => {
  const { stdout: tip } = await admin.git('rev-parse main', { cwd: work });
  for (const version of [0, 1, 2]) {
    const asked = `-c protocol.version=${version}`;
    const listed = await git(`${asked} ls-remote ${url('acme/public.git')}`);
    t.match(listed, { status: 0, stdout: `${tip.trim()}\trefs/heads/topic` }, `v${version}`);
    const cloned = await git(`${asked} clone -q ${url('acme/public')} clone-${version}`);
    t.equal(cloned.status, 0, cloned.stderr);
    t.ok(existsSync(join(stranger.home, `clone-${version}/.git`)));
  }
  t.match(await git(`clone -q --depth 1 ${url('acme/public')} shallow`), { status: 0 });
  t.match(await git(`archive --remote=${url('acme/public')} --output=x.tar main`), { status: 0 });
});

t.test('an alias leads to it, a bare name lies in the default namespace', async (t) => {
  t.match(await git(`ls-remote ${url('Old/Group/Thing.git')} main`), { status: 0, stdout: /main/ });
  t.match(await git(`ls-remote ${url('tool')}`), { status: 0 });
});

t.test('the host parameter may be anything, extra parameters choose the protocol', async (t) => {
  const path = 'git-upload-pack /acme/public.git';
  for (const host of ['', '\0host=example.org:9418\0', '\0host=[::1]\0', '\0host=\x1b[31m\0']) {
    const said = (
      await tell(port, Buffer.concat([pkt(`${path}${host}`), pkt(''), Buffer.from('0000')]))
    ).toString();
    t.match(said, / HEAD\0.*symref=HEAD:refs\/heads\/main/, JSON.stringify(host));
  }
  const second = (await tell(port, pkt(`${path}\0host=x\0\0version=2\0`))).toString();
  t.match(second, /^000eversion 2\n/);
  const odd = (await tell(port, pkt(`${path}\0host=x\0\0version=2\0evil;$(x)\0`))).toString();
  t.match(odd, / HEAD\0/, 'what git would not send is dropped');
});

t.test(
  'test 12: hidden repositories answer over git:// as missing ones, byte for byte',
  async (t) => {
    for (const program of ['git-upload-pack', 'git-upload-archive', 'git-receive-pack']) {
      const answer = async (repo: string) => {
        const said = await tell(port, pkt(`${program} /${repo}\0host=x\0`), { half: false });
        return said.toString().replaceAll(repo, 'R').slice(4);
      };
      const missing = await answer('acme/missing');
      t.match(missing, /^ERR cpm: /);
      for (const repo of ['acme/private', 'acme/internal', 'none/private']) {
        t.equal(await answer(repo), missing, `${program} ${repo}`);
      }
    }
    const cloned = await git(`clone ${url('acme/private')} hidden`);
    t.match(cloned, {
      status: 128,
      stderr: /acme\/private: no such repository, or not yours to see \(you are anonymous\)/,
    });
  },
);

t.test('a push is refused whatever it is to, and told where to go', async (t) => {
  const { stderr, status } = await admin.git(['push', url('acme/public'), 'main:x'], { cwd: work });
  t.equal(status, 128);
  t.match(stderr, /remote error: cpm: git:\/\/ is for reading: git-receive-pack is not offered/);
});

t.test('each request is on record: anonymous, through git, with its address', async (t) => {
  const { stdout } = await house.operator('audit list --json --limit 500');
  const rows = (JSON.parse(stdout) as Record<string, unknown>[]).filter(
    ({ door }) => door === 'git',
  );
  const row = { principal: 'anonymous', key: null, address: '127.0.0.1' };
  const ok = rows.filter(({ target, outcome }) => target === 'acme/public' && outcome === 'ok');
  for (const action of ['git-upload-pack', 'git-upload-archive']) {
    t.match(
      ok.find((each) => each['action'] === action),
      row,
      action,
    );
  }
  t.match(
    rows.find(({ target }) => target === 'acme/private'),
    { ...row, outcome: 'not_found' },
  );
  t.match(
    rows.find(({ action }) => action === 'git-receive-pack'),
    { ...row, outcome: 'denied' },
  );
});

t.test('status and sessions know the listener and who is connected', async (t) => {
  const { stdout } = await house.operator('status --json');
  t.ok(JSON.parse(stdout).listeners.includes(`git://127.0.0.1:${port}`));
});
