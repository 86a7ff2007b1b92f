import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { House, type HouseOptions } from './house.ts';
import { must } from './process.ts';

/** What one server of a pair calls the other, and takes it for. */
export interface Side {
  readonly name: string;
  readonly role: 'main' | 'backup' | 'dev' | 'neighbor';
}

/** The fingerprint of a server's host key, as ssh-keygen reads it on its machine. */
export async function hostKeyOf(house: Pick<House, 'dataDir'>): Promise<string> {
  const path = join(house.dataDir, 'keys', 'host_ed25519.pub');
  return (await must('ssh-keygen', ['-lf', path])).stdout.split(' ')[1] ?? '';
}

/** The public half of the key that a server signs in with elsewhere. */
export function serverKeyOf(house: Pick<House, 'dataDir'>): string {
  return readFileSync(join(house.dataDir, 'keys', 'server_ed25519.pub'), 'utf8');
}

/** Makes `other` known to `house`. */
export async function introduce(
  house: Pick<House, 'admin'>,
  other: Pick<House, 'port' | 'dataDir'>,
  { name, role }: Side,
): Promise<void> {
  const url = `cpm@127.0.0.1:${other.port}`;
  const flags = ['--role', role, '--fingerprint', await hostKeyOf(other), '--key', '-'];
  const stdin = serverKeyOf(other);
  const answer = await house.admin.ssh(['servers', 'add', name, url, ...flags], { stdin });
  if (answer.status !== 0) throw new Error(`servers add ${name}: ${answer.stderr}`);
}

/** Two real servers that know each other: `hq` has `b` for what `there` says, and `b` has `hq` for what `here` says. */
export async function openPair(
  t: { teardown(close: () => unknown): void },
  { here, there }: { here: Side['role']; there: Side['role'] },
  options: HouseOptions = {},
): Promise<{ hq: House; b: House }> {
  const [hq, b] = await Promise.all([
    House.open(t, { admin: 'ada', ...options }),
    House.open(t, { admin: 'bea', ...options }),
  ]);
  await introduce(hq, b, { name: 'b', role: there });
  await introduce(b, hq, { name: 'hq', role: here });
  return { hq, b };
}

/** What a server that is to be a backup of `house` is added by. */
export interface Backup {
  readonly url: string;
  readonly fingerprint: string;
}

/** Another real server, which takes `house` for its main under the name of hq. */
export async function openBackup(
  t: { teardown(close: () => unknown): void },
  house: House,
): Promise<Backup> {
  const b = await House.open(t, { admin: 'bea' });
  await introduce(b, house, { name: 'hq', role: 'main' });
  return { url: `cpm@127.0.0.1:${b.port}`, fingerprint: await hostKeyOf(b) };
}
