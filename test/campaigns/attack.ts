import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import type { Test } from 'tap';
import { House } from '../support/house.ts';
import type { Person } from '../support/person.ts';
import { loader } from '../support/program.ts';

export interface Attack {
  /** Sign-ins that fail. */
  readonly signIns: number;
  /** Where they come from, 10 to a network of 256. */
  readonly addresses: number;
  /** Attackers at work at once. */
  readonly atOnce: number;
  /** Whether the machine has nothing else to do: then honest pushes may take twice as long and no longer. */
  readonly timed: boolean;
}

interface Row {
  readonly address: string;
  readonly detail: { readonly attempts: number; readonly fingerprints: readonly string[] };
}

const pushes = 5;

/** Test 14 of the security rules: strangers try to sign in, while somebody works, and somebody cuts the record. */
export async function attack(
  t: Test,
  { signIns, addresses, atOnce, timed }: Attack,
): Promise<void> {
  const house = await House.open(t);
  const ana = await house.person('ana');
  const work = await ana.worktree();
  await ana.ssh('init app');
  const quiet = await pushTimes(t, ana, work);
  const begun = Date.now();

  const attackers = await startAttackers(t, house.port, [signIns, addresses, atOnce]);
  const meanwhile = await pushTimes(t, ana, work);
  await attackers.ended;
  const after = await pushTimes(t, ana, work);

  const minutes = Math.ceil((Date.now() - begun) / 60_000) + 1;
  const { stdout } = await house.operator('audit list --action sign-in --limit 3000 --json');
  const rows = (JSON.parse(stdout) as (Row & { outcome: string })[]).filter(
    ({ outcome }) => outcome === 'denied',
  );
  const networks = Math.ceil(addresses / 10);
  t.ok(rows.length >= networks, 'each network is told of');
  t.ok(
    rows.length <= networks * minutes,
    `${rows.length} rows for ${signIns} sign-ins that failed`,
  );
  const attempts = rows.reduce((sum, { detail }) => sum + detail.attempts, 0);
  t.equal(attempts, signIns, 'and every one of them was counted');
  t.ok(rows.every(({ detail }) => detail.fingerprints.length <= 5));
  const ratio = meanwhile / ((quiet + after) / 2);
  const times = `a push took ${quiet} ms, ${meanwhile} ms meanwhile, ${after} ms after`;
  t.comment(`${times}: ${ratio.toFixed(2)} times as long, ${Date.now() - begun} ms in all`);
  if (timed) t.ok(ratio <= 2, 'honest pushes took at most twice as long');

  await cutTail(t, house);
}

/** Starts those who attack, with what processor time nobody else wants: they would have machines of their own. */
async function startAttackers(
  t: Test,
  port: number,
  numbers: readonly number[],
): Promise<{ readonly ended: Promise<void> }> {
  const script = join(import.meta.dirname, 'attackers.ts');
  const words = ['-n', '19', process.execPath, '--import', loader, script];
  const child = spawn('nice', [...words, ...[port, ...numbers].map(String)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const ended = once(child, 'exit').then(([status]) => t.equal(status, 0, 'all attacks were made'));
  await once(child.stdout, 'data');
  return { ended: ended.then(() => undefined) };
}

/** Pushes a few commits, one by one. @returns the median of their times, in ms */
async function pushTimes(t: Test, person: Person, work: string): Promise<number> {
  const times: number[] = [];
  for (let nth = 0; nth < pushes; nth++) {
    await person.git('commit -q --allow-empty -m more', { cwd: work });
    const begun = performance.now();
    t.match(await person.git(['push', person.url('app'), 'main'], { cwd: work }), { status: 0 });
    times.push(performance.now() - begun);
  }
  return Math.round(times.sort((a, b) => a - b)[Math.floor(pushes / 2)] ?? 0);
}

/** The last rows of the record are deleted: a head that was kept elsewhere tells. */
async function cutTail(t: Test, house: House): Promise<void> {
  const { head } = JSON.parse((await house.operator('audit verify --json')).stdout);
  t.match(await house.operator(['audit', 'verify', '--head', head]), { status: 0 });
  await house.stop();
  const database = new Sqlite(join(house.dataDir, 'cpm.db'));
  const { changes } = database
    .prepare('DELETE FROM audit WHERE seq > (SELECT max(seq) - 100 FROM audit)')
    .run();
  database.close();
  t.ok(changes > 20);
  await house.restart();
  t.match(await house.operator(['audit', 'verify', '--head', head]), { status: 7 });
}
