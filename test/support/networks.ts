import { run } from './process.ts';

/** A machine of its own: a network namespace with one interface for each network that it is on. */
export interface Machine {
  /** Words that run a program there. */
  readonly inside: readonly [string, ...string[]];
  /** Its addresses, as `10.77.1.5/26`, by the number of the network. */
  readonly addresses: Readonly<Record<number, string>>;
}

/** Why networks can't be made here, in a sentence; undefined where they can. */
export async function noNetworks(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'only root can make network namespaces';
  const probe = `cpm-probe-${process.pid}`;
  const { status } = await run('ip', ['netns', 'add', probe]);
  if (status !== 0) return 'network namespaces can not be made on this machine';
  await run('ip', ['netns', 'del', probe]);
  return undefined;
}

/**
 * Makes machines on networks of their own: a switch for each network, in a namespace that has nothing else.
 *
 * @param wanted - by the machine's name, its addresses with their prefixes, by the number of the network
 */
export async function makeMachines<N extends string>(
  t: { teardown(close: () => unknown): void },
  wanted: Readonly<Record<N, Readonly<Record<number, string>>>>,
): Promise<Readonly<Record<N, Machine>>> {
  const place = (name: string) => `cpm-${process.pid}-${name}`;
  const machines = Object.entries(wanted) as [N, Readonly<Record<number, string>>][];
  const names = ['switch', ...machines.map(([name]) => name)];
  t.teardown(() =>
    ip(
      names.map((name) => `netns del ${place(name)}`),
      true,
    ),
  );
  await ip(names.map((name) => `netns add ${place(name)}`));
  const networks = [...new Set(machines.flatMap(([, addresses]) => Object.keys(addresses)))];
  const inSwitch = (lines: readonly string[]) => ip(lines, false, place('switch'));
  await inSwitch(
    networks.flatMap((each) => [`link add sw${each} type bridge`, `link set sw${each} up`]),
  );
  const cables = machines.flatMap(([name, addresses]) =>
    Object.entries(addresses).map(([network, address]) => ({ name, network, address })),
  );
  await inSwitch(
    cables.flatMap(({ name, network }, nth) => [
      `link add c${nth} type veth peer name eth${network} netns ${place(name)}`,
      `link set c${nth} master sw${network} up`,
    ]),
  );
  for (const [name, addresses] of machines) {
    const lines = Object.entries(addresses).flatMap(([network, address]) => [
      `addr add ${address} dev eth${network}`,
      `link set eth${network} up`,
    ]);
    await ip(['link set lo up', ...lines], false, place(name));
  }
  return Object.fromEntries(
    machines.map(([name, addresses]) => {
      const inside = ['ip', 'netns', 'exec', place(name)] as const;
      return [name, { inside, addresses }];
    }),
  ) as unknown as Record<N, Machine>;
}

/** Runs lines of `ip`. @throws with its words when one fails, unless they need not all succeed */
async function ip(lines: readonly string[], anyway = false, place?: string): Promise<void> {
  const where = place === undefined ? [] : ['-n', place];
  const args = [...where, ...(anyway ? ['-force'] : []), '-batch', '-'];
  const { status, stderr } = await run('ip', args, { stdin: `${lines.join('\n')}\n` });
  if (status !== 0 && !anyway) throw new Error(`ip: ${stderr}\n${lines.join('\n')}`);
}
