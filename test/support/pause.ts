import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Person, quoteWords } from './person.ts';

const pausingSsh = fileURLToPath(new URL('../fixtures/pausing-ssh.mjs', import.meta.url));

/** A git client that stops sending in the middle, until it is told to go on. */
export interface Pause {
  /** To be laid over the environment of the person's git. */
  readonly env: Readonly<Record<string, string>>;
  /** The bytes are with ssh, and the client waits. */
  readonly reached: Promise<void>;
  resume(): void;
}

/** Lets git send so many bytes and no more until `resume`. @param bytes - of the whole stream that git sends */
export async function pauseAfter(
  t: { teardown(close: () => unknown): void },
  person: Person,
  bytes: number,
): Promise<Pause> {
  const path = join(person.home, `pause-${process.hrtime.bigint()}`);
  const server = createServer();
  let waiting: Socket | undefined;
  const reached = once(server, 'connection').then(([socket]) => {
    waiting = socket;
    // A client that is cut off while it waits ends its side.
    waiting?.on('error', () => undefined);
  });
  server.listen(path);
  await once(server, 'listening');
  t.teardown(() => {
    waiting?.destroy();
    server.close();
  });
  const words = [process.execPath, pausingSsh, path, String(bytes), 'ssh', ...person.sshOptions()];
  return {
    env: { GIT_SSH_COMMAND: quoteWords(words), GIT_SSH_VARIANT: 'ssh' },
    reached,
    resume: () => waiting?.end('go'),
  };
}
