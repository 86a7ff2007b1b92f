import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** What a service manager hears: the real thing, a Unix datagram socket, which Node has none of. */
export interface Manager {
  /** Each datagram so far, its lines apart. */
  readonly heard: readonly (readonly string[])[];
  /** Waits until so many datagrams with that line came; one unless told. @returns the last of them */
  hears(line: RegExp, times?: number): Promise<readonly string[]>;
}

const receiver = `
  use Socket;
  $| = 1;
  my $at = $ARGV[0] =~ s/^@/\\0/r;
  socket(S, AF_UNIX, SOCK_DGRAM, 0) && bind(S, pack_sockaddr_un($at)) or die "no socket: $!";
  print "bound\\n";
  while (defined recv(S, $_, 65536, 0)) { s/\\n/|/g; print "$_\\n" }
`;

/** @param address - a path that nobody has yet, or `@` and a name */
export async function openManager(
  t: { teardown(close: () => unknown): void },
  address: string,
): Promise<Manager> {
  const child = spawn('perl', ['-e', receiver, address], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  const lines = createInterface({ input: child.stdout });
  await once(lines, 'line');
  const heard: string[][] = [];
  lines.on('line', (line) => {
    heard.push(line.split('|'));
    child.emit('heard');
  });
  return {
    heard,
    async hears(wanted, times = 1) {
      const signal = AbortSignal.timeout(30_000);
      for (;;) {
        const found = heard.filter((datagram) => datagram.some((line) => wanted.test(line)));
        const last = found[times - 1];
        if (last !== undefined) return last;
        await once(child, 'heard', { signal });
      }
    },
  };
}
