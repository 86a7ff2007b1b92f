import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, watch, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { flushPkt, pkt } from '../../src/model/pktline.ts';
import { nullOid } from '../../src/model/ref.ts';
import { sizeOfTree } from '../../src/programs/size.ts';
import { appears, entryIn } from '../support/appears.ts';
import { startSsh } from '../support/client.ts';
import { doors, House } from '../support/house.ts';
import type { Person } from '../support/person.ts';
import { must, run } from '../support/process.ts';

/** A commit with so many bytes that don't compress. */
async function commit(person: Person, work: string, bytes: number, files = 1): Promise<void> {
  for (let nth = 0; nth < files; nth++) {
    writeFileSync(join(work, `file${nth}`), randomBytes(bytes / files));
  }
  await person.git('add .', { cwd: work });
  await person.git('commit -q -m more', { cwd: work });
}

/** Waits until a push's quarantine holds so many bytes. */
async function grown(objects: string, bytes: number): Promise<void> {
  await entryIn(objects, (name) => name.startsWith('tmp_objdir-incoming-'));
  const name = readdirSync(objects).find((entry) => entry.startsWith('tmp_objdir-')) ?? '';
  const folder = join(objects, name, 'pack');
  await appears(folder);
  const watcher = watch(folder);
  const signal = AbortSignal.timeout(20_000);
  while ((await sizeOfTree(folder)) < bytes) await once(watcher, 'change', { signal });
  watcher.close();
}

t.test('S26 below the disk reserve nothing comes in, and all else goes on', async (t) => {
  const house = await House.open(t, { config: 'limits: {}\n' });
  const ana = await house.person('ana');
  await ana.ssh('init app');
  const work = await ana.worktree();
  const url = ana.url('app');
  await ana.git(['push', url, 'main', 'HEAD:refs/heads/old', 'HEAD:refs/heads/older'], {
    cwd: work,
  });
  await commit(ana, work, 1000);
  writeFileSync(join(house.folder, 'config.yaml'), 'limits: {disk_reserve: 900000G}\n');
  await house.restart();
  const sizes =
    /the disk is full: [\d.]+ [KMGT]?B free, [\d.]+ TB are kept in reserve \(limits\.disk_reserve\)/;

  const pushed = await ana.git(['push', url, 'main'], { cwd: work });
  t.match(pushed, { status: 1, stderr: sizes });
  t.match(pushed.stderr, /! \[remote rejected\] main -> main/);
  t.match(pushed.stderr, /hint: reading and deleting go on/);
  t.match(await ana.git(['push', url, 'HEAD:new', ':old'], { cwd: work }), {
    status: 1,
    stderr: /\[remote rejected\] old/,
  });
  t.match(await ana.git(['push', ana.url('another'), 'main'], { cwd: work }), {
    status: 128,
    stderr: sizes,
  });
  for (const { name, run } of doors(house)) {
    const options = ['init', 'ana/new'];
    t.match(await run(options), { status: 6, stderr: sizes }, `init, ${name}`);
    t.match(await run([...options, '--dry-run']), { status: 6 }, `a dry run of it, ${name}`);
    t.match(await run(['init', 'ana/app', '--exist-ok']), { status: 0 }, `what is there, ${name}`);
    t.match(await run(['init', 'ana/app']), { status: 5 }, `once more, ${name}`);
  }
  t.match(await ana.ssh('git-receive-pack another'), { status: 6, stdout: /ERR cpm: the disk/ });

  t.match(await ana.git(['push', url, ':old'], { cwd: work }), { status: 0 }, 'a deletion');
  t.match(await ana.git(['clone', '-q', url, 'copy']), { status: 0 }, 'a clone');
  t.match(await ana.ssh('list'), { stdout: /ana\/app/ });
  t.match(await ana.ssh(['repo', 'set', 'app', '--description', 'x']), { status: 0 });
  const { stdout: refs } = await ana.git(['ls-remote', url]);
  t.notMatch(refs, /heads\/(new|old\n)/);
  t.match(refs, /heads\/older/);
  const { stdout } = await house.operator('audit list --json --action git-receive-pack');
  t.match(JSON.parse(stdout)[1], { outcome: 'failed', target: 'another' }, 'all of it recorded');

  writeFileSync(join(house.folder, 'config.yaml'), 'limits: {disk_reserve: 1M}\n');
  await house.restart();
  t.match(await ana.git(['push', url, 'main'], { cwd: work }), { status: 0 });
});

const disk = mkdtempSync(join(tmpdir(), 'cpm-disk-'));
const size = 'size=48m,mode=700';
const { status: unmounted } = await run('mount', ['-t', 'tmpfs', '-o', size, 'cpm', disk]);
const skip = unmounted === 0 ? false : 'this account may not mount a disk';
t.teardown(async () => {
  if (unmounted === 0) await must('umount', ['-l', disk]);
  rmSync(disk, { recursive: true });
});

t.test('S26 a disk that fills up under a server, and is freed again', { skip }, async (t) => {
  const dataDir = join(disk, 'data');
  const env = { CPM_DATA_DIR: dataDir, CPM_LIMITS__DISK_RESERVE: '16M' };
  const house = await House.open(t, { env });
  const ana = await house.person('ana');
  const work = await ana.worktree();
  const url = ana.url('app');
  t.match(await ana.git(['push', url, 'main'], { cwd: work }), { status: 0 });

  const ballast = join(disk, 'ballast');
  writeFileSync(ballast, Buffer.alloc(36 << 20));
  await commit(ana, work, 1000);
  t.match(await ana.git(['push', url, 'main'], { cwd: work }), {
    status: 1,
    stderr: /the disk is full: 1?\d\.\d MB free, 16\.0 MB are kept/,
  });
  rmSync(ballast);
  t.match(await ana.git(['push', url, 'main'], { cwd: work }), { status: 0 });

  writeFileSync(ballast, Buffer.alloc(24 << 20));
  // More objects than git unpacks in its memory.
  await commit(ana, work, 10 << 20, 200);
  const arrived = await ana.git(['push', url, 'main'], { cwd: work });
  t.match(arrived, { status: 1, stderr: /the disk is full/ }, 'its own pack reached the reserve');
  rmSync(ballast);
  const bare = join(dataDir, 'repositories/ana/app.git');
  t.match(await run('du', ['-sk', bare]), { stdout: /^\d{1,3}\t/ }, 'and was taken away');
  t.match(await ana.git(['fsck'], { cwd: bare }), { status: 0 });
});

t.test('S26 a namespace over its quota takes no more objects, and keeps all it has', async (t) => {
  const house = await House.open(t, { config: 'limits: {namespace_bytes: 1M}\n' });
  const ana = await house.person('ana');
  const bo = await house.person('bo');
  const work = await ana.worktree();
  const url = ana.url('app');
  const push = async (...refs: readonly string[]) => ana.git(['push', url, ...refs], { cwd: work });

  await commit(ana, work, 600_000);
  t.match(await push('main', 'HEAD:refs/heads/side'), { status: 0 });
  const first = (await ana.git('rev-parse HEAD', { cwd: work })).stdout.trim();
  await ana.git('commit -q --amend --allow-empty -m other', { cwd: work });
  await commit(ana, work, 600_000);
  t.match(await push('--force', 'main'), { status: 0 }, 'below it, a push is taken whole');
  await commit(ana, work, 10);
  const refused = await push('main');
  t.match(refused, {
    status: 1,
    stderr: /ana: 1\.\d MB are in use, 1\.0 MB are allowed \(limits\.namespace_bytes\)/,
  });
  t.match(await ana.git(['push', ana.url('next'), 'main'], { cwd: work }), {
    status: 1,
    stderr: /limits\.namespace_bytes/,
  });
  t.notMatch((await ana.ssh('list')).stdout, /next/, 'nothing was created for it');

  t.match(await push(':side'), { status: 0 }, 'deletions go on');
  const bare = join(house.dataDir, 'repositories/ana/app.git');
  t.match(await ana.git(['cat-file', '-t', first], { cwd: bare }), { stdout: 'commit\n' });
  t.match(await ana.git(['clone', '-q', url, 'copy']), { status: 0 });
  t.match(await ana.ssh('init empty'), { status: 0 }, 'an empty repository brings nothing');
  await bo.worktree();
  t.match(await bo.git(['push', bo.url('app'), 'main'], { cwd: join(bo.home, 'work') }), {
    status: 0,
  });
});

t.test('S26 what a push under way has brought counts until it is gone', async (t) => {
  const house = await House.open(t, { config: 'limits: {namespace_bytes: 1M}\n' });
  const ana = await house.person('ana');
  const work = await ana.worktree();
  await ana.git(['push', ana.url('small'), 'main'], { cwd: work });
  await ana.ssh('init big');
  await commit(ana, work, 2 << 20, 200);
  const head = (await ana.git('rev-parse HEAD', { cwd: work })).stdout.trim();
  const { bytes: pack } = await run('git', ['pack-objects', '--all', '--stdout'], { cwd: work });
  const client = startSsh(t, ana, { port: house.port, command: 'git-receive-pack big' });
  await client.says('report-status');
  const wanted = `${nullOid} ${head} refs/heads/main\0report-status side-band-64k`;
  client.send(Buffer.concat([pkt(wanted), flushPkt, pack.subarray(0, 1_800_000)]));
  await grown(join(house.dataDir, 'repositories/ana/big.git/objects'), 1_500_000);

  const small = ['push', ana.url('small'), 'HEAD~1:refs/heads/more'];
  t.match(await ana.git(small, { cwd: work }), { status: 1, stderr: /limits\.namespace_bytes/ });
  client.kill();
  await client.ended;
  // The line is gone: what it had brought is taken away, which the record tells.
  let row = { outcome: 'open' };
  while (row.outcome === 'open') {
    const { stdout } = await house.operator('audit list --repo ana/big --limit 1 --json');
    [row] = JSON.parse(stdout);
  }
  t.match(await ana.git(small, { cwd: work }), { status: 0 });
});

t.test('S26 a user has so many repositories and no more', async (t) => {
  const house = await House.open(t, { config: 'limits: {repos_per_user: 2}\n' });
  const ana = await house.person('ana');
  const work = await ana.worktree();
  await ana.ssh('init one');
  t.match(await ana.git(['push', ana.url('two'), 'main'], { cwd: work }), { status: 0 });

  const why = /ana has 2 repositories, which is the limit \(limits\.repos_per_user\)/;
  t.match(await ana.ssh('init three'), { status: 6, stderr: why });
  for (const { name, run } of doors(house)) {
    t.match(await run(['init', 'ana/three']), { status: 6, stderr: why }, name);
    t.match(await run(['init', 'ana/three', '--dry-run']), { status: 6, stderr: why }, name);
  }
  t.match(await ana.git(['push', ana.url('three'), 'main'], { cwd: work }), {
    status: 1,
    stderr: why,
  });
  t.match(await ana.ssh('init one --exist-ok'), { status: 0 });
  await ana.ssh('org create crew');
  for (const name of ['a', 'b', 'c']) {
    t.match(await ana.ssh(`init crew/${name}`), { status: 0 }, 'an organization is not counted');
  }
  const { stdout } = await ana.ssh('list --namespace ana --json');
  t.equal(JSON.parse(stdout).length, 2);
});
