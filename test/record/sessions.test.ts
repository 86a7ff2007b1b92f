import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { addToRecord } from '../support/audit-rows.ts';
import { Follower } from '../support/follower.ts';
import { doors, House } from '../support/house.ts';

interface Row {
  readonly id: string;
  readonly kind: string;
  readonly connection: string | null;
  readonly principal: string;
  readonly address: string | null;
  readonly door: string;
  readonly action: string | null;
  readonly target: string | null;
  readonly started_at: string;
}

const house = await House.open(t);
const { admin } = house;
const ana = await house.person('ana');
const follow = ['events', '--follow'];

async function list(): Promise<Row[]> {
  return JSON.parse((await admin.ssh('sessions list --json')).stdout);
}

/** Waits until the sessions are as wanted. */
async function until(wanted: (rows: Row[]) => boolean): Promise<Row[]> {
  const signal = AbortSignal.timeout(20_000);
  for (;;) {
    signal.throwIfAborted();
    const rows = await list();
    if (wanted(rows)) return rows;
  }
}

const running = (action: string, principal: string) => (row: Row) =>
  row.action === action && row.principal === principal;
const anas = running('events', 'user:ana');
const operators = running('events', 'operator');

t.test('connections and requests of both doors are listed, and ended with a reason', async (t) => {
  const before = Date.now() - 1000;
  const remote = Follower.ssh(t, house, { person: ana, words: follow });
  const local = Follower.local(t, house, follow);
  const rows = await until((all) => all.some(anas) && all.some(operators));

  const request = rows.find(anas);
  t.match(request, { kind: 'request', address: '127.0.0.1', door: 'ssh', target: null });
  t.ok(Date.parse(request?.started_at ?? '') > before);
  const connection = rows.find(({ id }) => id === request?.connection);
  t.match(connection, { kind: 'connection', principal: 'user:ana', door: 'ssh', action: null });
  const other = rows.find(operators);
  t.match(other, { kind: 'request', principal: 'operator', door: 'local', address: null });
  t.match(
    rows.find(({ id }) => id === other?.connection),
    { kind: 'connection', door: 'local' },
  );
  t.ok(rows.some(running('sessions list', 'user:ada')), 'whoever looks is there too');

  const tried = await admin.ssh(`sessions end ${request?.id} --dry-run --json`);
  t.strictSame(JSON.parse(tried.stdout), { changed: true, id: request?.id });
  t.ok((await list()).some(anas), 'a dry run ends nothing');

  const ends: [Follower, string, (words: string) => ReturnType<typeof admin.ssh>][] = [
    [remote, connection?.id ?? '', (words) => house.operator(words)],
    [local, other?.id ?? '', (words) => admin.ssh(words)],
  ];
  for (const [follower, id, ask] of ends) {
    const answer = await ask(`sessions end ${id} --json`);
    const atMs = performance.now();
    t.match(JSON.parse(answer.stdout), { changed: true, id });
    const ended = await follower.ended;
    t.match(ended, { status: 6, stderr: /cpm: this session was ended by (operator|user:ada)/ });
    t.ok(ended.atMs - atMs < 1000);
    t.match(await ask(`sessions end ${id}`), { status: 3, stderr: /no such session/ });
  }
  const audited = await admin.ssh(['audit', 'list', '--action', 'sessions end', '--json']);
  t.ok(JSON.parse(audited.stdout).some(({ target }: Row) => target === connection?.id));
});

t.test('one request ends, and another on the same connection goes on', async (t) => {
  const socket = join(ana.home, 'master');
  const master = ['-o', 'ControlMaster=yes', '-o', `ControlPath=${socket}`];
  const share = ['-o', 'ControlMaster=no', '-o', `ControlPath=${socket}`];
  const first = Follower.ssh(t, house, { person: ana, words: follow, options: master });
  const [one] = (await until((all) => all.some(anas))).filter(anas);
  const second = Follower.ssh(t, house, { person: ana, words: follow, options: share });
  const both = (await until((all) => all.filter(anas).length === 2)).filter(anas);
  const two = both.find(({ id }) => id !== one?.id);
  t.equal(two?.connection, one?.connection);

  t.match(await admin.ssh(`sessions end ${two?.id}`), { status: 0, stdout: /^Ended / });

  t.match(await second.ended, { status: 6, stderr: /ended by user:ada/ });
  const left = (await list()).filter(anas);
  t.strictSame(
    left.map(({ id }) => id),
    [one?.id],
  );
  await house.operator('init ana/app');
  await first.reads(({ repo }) => repo === 'ana/app');
});

t.test('a request whose client reads nothing, and a stranger at the door, end too', async (t) => {
  await house.stop();
  addToRecord(join(house.dataDir, 'cpm.db'), 15_000, () => ({
    at: new Date().toISOString(),
    principal: 'user:ana',
    address: '192.0.2.7',
    action: 'list',
  }));
  await house.restart();
  const stuck = Follower.ssh(t, house, { person: admin, words: 'audit export', reads: false });
  const exporting = running('audit export', 'user:ada');
  const [request] = (await until((all) => all.some(exporting))).filter(exporting);
  const stranger = connect(house.port, '127.0.0.1');
  stranger.resume();
  const left = once(stranger, 'close', { signal: AbortSignal.timeout(20_000) });
  const isStranger = ({ principal }: Row) => principal === 'anonymous';
  const [visitor] = (await until((all) => all.some(isStranger))).filter(isStranger);

  t.match(await house.operator(`sessions end ${visitor?.id}`), { status: 0 });
  const atMs = performance.now();
  await left;
  t.ok(performance.now() - atMs < 1000);
  await house.operator(`sessions end ${request?.id}`);

  await until((all) => !all.some(exporting));
  t.ok(performance.now() - atMs < 5000);
  stuck.kill('SIGKILL');
});

t.test('status tells what runs, how much there is, and where the record ends', async (t) => {
  for (const { name, run } of doors(house)) {
    const { stdout, status } = await run(['status', '--json']);
    t.equal(status, 0, name);
    const now = JSON.parse(stdout);
    t.match(now, {
      version: /^\d+\.\d+\.\d+$/,
      serving: true,
      pid: house.pid,
      listeners: [`ssh://127.0.0.1:${house.port}`],
      queue: 0,
      repositories: 1,
      users: 2,
      audit_head: /^\d+:[0-9a-f]{64}$/,
      audit_signed: { head: /^\d+:[0-9a-f]{64}$/, at: /Z$/ },
    });
    t.ok(now.connections >= 1 && now.requests >= 1);
    t.ok(now.uptime_s >= 0 && now.uptime_s < 300);
    t.ok(now.database_bytes > 1_000_000 && now.disk_free_bytes > 0);
    const text = await run(['status']);
    t.match(text.stdout, new RegExp(`listens on ssh://127.0.0.1:${house.port}`));
    t.match(text.stdout, /1 repositories, 2 users/);
  }
  await house.stop();
  const alone = await house.operator('status --json');
  t.match(JSON.parse(alone.stdout), {
    serving: false,
    pid: null,
    uptime_s: null,
    listeners: [],
    connections: 0,
    requests: 1,
  });
  t.match(await house.operator('status'), { status: 0, stdout: /no server runs/ });
});
