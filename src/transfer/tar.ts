import {
  awaitedBundle,
  describeBundle,
  readBundle,
  receiveBundle,
} from '../core/peering/bundle.ts';
import type { TarWords } from '../core/peering/protocol.ts';
import { UserError } from '../model/errors.ts';
import { Throttle } from '../programs/throttle.ts';
import { clientInput, writeTo } from './client.ts';
import type { PeerTalk } from './transfer.ts';

/** Reads the words by which another server sends or fetches an archive. @returns undefined for any others */
export function readTarWords(words: readonly string[]): TarWords | undefined {
  const [verb, token = '', offset = '', ...rest] = words;
  const sound = /^[0-9a-f]{32}$/.test(token) && /^\d{1,15}$/.test(offset) && rest.length === 0;
  return sound && (verb === 'put-tar' || verb === 'get-tar') ? [verb, token, offset] : undefined;
}

/** An archive of a session's files, from where an earlier one broke off; only between servers. */
export async function passTar(talk: PeerTalk, [verb, token, offset]: TarWords) {
  const direction = verb === 'put-tar' ? 'in' : 'out';
  const { core, principal, signal, stdio } = talk;
  const session = core.syncSessions.find(token, principal.id, direction);
  const server = await core.store.servers.byId(principal.id);
  const bound = core.config.values['sync.bandwidth'];
  const throttle = new Throttle(Math.min(bound, server?.bandwidth ?? bound));
  const { directory } = session;
  if (direction === 'out') {
    const bundle = await describeBundle(directory);
    for await (const chunk of readBundle(directory, bundle, Number(offset))) {
      await throttle.pass(chunk.length, signal);
      await writeTo(stdio.stdout, chunk, signal);
      if (signal.aborted || !stdio.stdout.writable) {
        throw new UserError('unavailable', 'the other server went away');
      }
    }
  } else {
    const part = await awaitedBundle(directory, Number(offset));
    const pace = async (_: number, chunk: number) => {
      await core.room.onDisk();
      await throttle.pass(chunk, signal);
    };
    await receiveBundle(directory, part, chunksOf(talk), pace);
  }
  return { status: 0, detail: { direction } };
}

async function* chunksOf({ stdio, signal }: PeerTalk): AsyncGenerator<Buffer> {
  const input = clientInput(stdio.stdin, signal);
  for (let chunk = await input.chunk(); chunk !== undefined; chunk = await input.chunk()) {
    yield chunk;
  }
}
