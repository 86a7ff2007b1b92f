import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { askServer } from '../../src/doors/local/client.ts';
import { socketPath } from '../../src/doors/local/socket-path.ts';
import type { Answer, Surroundings } from './process.ts';

/**
 * Asks a running server what `cpm WORDS` asks it, over the same socket and by the same code, without a start of Node
 * for each question.
 *
 * @param dataDir - of the server; where the person is, too, unless `cwd` says otherwise
 * @returns undefined when no server listens there
 * @throws when the server goes away before it answered
 */
export async function askLocally(
  dataDir: string,
  words: readonly string[],
  { cwd = dataDir, stdin, signal = new AbortController().signal }: Surroundings,
): Promise<Answer | undefined> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const said = [buffer(stdout), buffer(stderr)] as const;
  const stdio = {
    stdin: Readable.from(stdin === undefined ? [] : [Buffer.from(stdin)]),
    stdout,
    stderr,
  };
  const asked = { words, directory: cwd, terminal: undefined };
  const status = await askServer(socketPath(dataDir), asked, { stdio, signal }).finally(() => {
    stdout.end();
    stderr.end();
  });
  if (status === undefined) return undefined;
  const [bytes, errors] = await Promise.all(said);
  return { status, stdout: bytes.toString(), stderr: errors.toString(), bytes };
}
