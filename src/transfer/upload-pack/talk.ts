import { flushPkt, readPkt } from '../../model/pktline.ts';
import { isProtocol } from '../../programs/git.ts';
import { type ClientInput, clientInput, endReason, writeTo } from '../client.ts';
import { pass, passStreams, statusOf } from '../pass.ts';
import type { Talk } from '../transfer.ts';
import { bytesOf, orBroken, readAsked } from './question.ts';

const args = ['upload-pack', '--strict', '.'];

/**
 * A talk with git's upload-pack in which git itself is only started for what is not on record: what it offers, and which
 * refs there are, is told as git told it before, while no ref has moved. What a client gets is git's, byte for byte.
 *
 * @returns git's exit status
 * @throws UserError when the client is gone or may no longer be here
 */
export async function uploadPackTalk(talk: Talk): Promise<number> {
  const { signal } = talk;
  if (signal.aborted) throw endReason(signal);
  const protocol = isProtocol(talk.protocol) ? talk.protocol : undefined;
  try {
    if (protocol === 'version=2') return await second(talk);
    const isFirst = protocol === undefined || /^version=[01]$/.test(protocol);
    return isFirst ? await first(talk, protocol) : await pass(talk, args);
  } catch (error) {
    throw signal.aborted ? endReason(signal) : error;
  }
}

/** Protocol v0 and v1: the refs come unasked, and who wants nothing of them says so. */
async function first(talk: Talk, protocol: string | undefined): Promise<number> {
  const { refAnswers, directory, stdio, signal } = talk;
  const asked = { protocol, input: String(flushPkt) };
  const answer = await refAnswers.of(directory, asked, signal);
  if (answer === undefined) return pass(talk, args);
  await writeTo(stdio.stdout, answer, signal);
  const input = clientInput(stdio.stdin, signal);
  const packet = await orBroken(input.packet());
  if (packet === undefined || packet === 'broken') return handOver(talk, input, Buffer.alloc(0));
  return packet.kind === 'flush' ? 0 : handOver(talk, input, bytesOf(packet));
}

/** Protocol v2: what is offered comes unasked, all else is asked for. */
async function second(talk: Talk): Promise<number> {
  const { refAnswers, directory, stdio, signal } = talk;
  const offer = await refAnswers.capabilities(directory, signal);
  if (offer === undefined) return pass(talk, args);
  await writeTo(stdio.stdout, offer, signal);
  stdio.acknowledge?.();
  const input = clientInput(stdio.stdin, signal);
  for (;;) {
    const asked = await readAsked(input);
    if (asked.kind === 'end') return 0;
    if (asked.kind === 'other') return handOver(talk, input, asked.bytes);
    const question = { protocol: 'version=2', input: `${asked.text}${flushPkt}` };
    const answer = await refAnswers.of(directory, question, signal);
    if (answer === undefined) return handOver(talk, input, asked.bytes);
    await writeTo(stdio.stdout, skipOffer()(answer), signal);
    stdio.acknowledge?.();
  }
}

/** Goes on with git itself, which is told what was read already, and whose offer the client has. */
async function handOver(talk: Talk, input: ClientInput, read: Buffer): Promise<number> {
  const { git, directory, protocol, signal } = talk;
  if (signal.aborted) throw endReason(signal);
  const child = git.start(args, { cwd: directory, protocol });
  const all = { input: behind(read, input), output: skipOffer() };
  return statusOf(await passStreams(child, talk, all));
}

function behind(read: Buffer, input: ClientInput): Pick<ClientInput, 'chunk'> {
  let left: Buffer | undefined = read.length > 0 ? read : undefined;
  return {
    async chunk() {
      const next = left;
      left = undefined;
      return next ?? input.chunk();
    },
  };
}

/** Takes away what git says unasked: all up to the first flush packet. */
function skipOffer(): (chunk: Buffer) => Buffer {
  let held: Buffer = Buffer.alloc(0);
  let isOver = false;
  return (chunk) => {
    if (isOver) return chunk;
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    let at = 0;
    for (let read = readPkt(held, at); read !== undefined; read = readPkt(held, at)) {
      at = read.next;
      if (read.pkt.kind !== 'flush') continue;
      isOver = true;
      return held.subarray(at);
    }
    held = held.subarray(at);
    return Buffer.alloc(0);
  };
}
