import type { Hello } from '../../model/hello.ts';
import { pkt } from '../../model/pktline.ts';
import { type Call, Conversation, dial, NoHello, within } from './greet.ts';
import { Packets } from './packets.ts';

/** What answers somewhere. `other-protocol`: a cpm server that speaks none of ours; `forged`: a hello that its key did not sign; `odd`: anything else that speaks, or does not. */
export type Kind = 'cpm' | 'other-protocol' | 'git-daemon' | 'forged' | 'odd' | 'closed' | 'silent';

export type Sighting =
  | { readonly kind: 'cpm'; readonly hello: Hello; readonly latencyMs: number }
  | { readonly kind: Exclude<Kind, 'cpm'> };

/**
 * Looks who is there: one connection, and one more where the first says nothing that tells a git daemon from others.
 *
 * @throws the signal's reason on abort
 */
export async function lookAt(where: Call): Promise<Sighting> {
  const found = await hello(where);
  where.signal.throwIfAborted();
  return found;
}

async function hello(where: Call): Promise<Sighting> {
  const line = await dial(where).catch((error: NodeJS.ErrnoException) => error);
  if (line instanceof Error) return { kind: line.code === 'ECONNREFUSED' ? 'closed' : 'silent' };
  try {
    const conversation = await Conversation.begin(line, where.timeoutMs);
    return { kind: 'cpm', hello: conversation.hello, latencyMs: conversation.latencyMs };
  } catch (error) {
    const said = error instanceof NoHello ? error.said : undefined;
    if (error instanceof NoHello && error.protocols !== undefined)
      return { kind: 'other-protocol' };
    if (said === 'forged') return { kind: 'forged' };
    if (said?.startsWith('ERR ')) return { kind: 'git-daemon' };
    // git's own daemon hangs up on what is no request of git.
    const hungUp = said === 'end' || (error as NodeJS.ErrnoException).code === 'ECONNRESET';
    return { kind: hungUp && (await refusesLikeGit(where)) ? 'git-daemon' : 'odd' };
  } finally {
    line.socket.destroy();
  }
}

async function refusesLikeGit(where: Call): Promise<boolean> {
  const line = await dial(where).catch(() => undefined);
  if (line === undefined) return false;
  const { socket } = line;
  try {
    socket.write(pkt(`git-upload-pack /cpm-looks-around\0host=${where.host}\0`));
    const packet = await within(where.timeoutMs, socket, new Packets(socket).next(1024));
    return packet?.kind === 'data' && packet.payload.toString('latin1').startsWith('ERR ');
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
