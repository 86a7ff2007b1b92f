import { isUtf8 } from 'node:buffer';
import { UserError } from '../../model/errors.ts';
import { isOid } from '../../model/oid.ts';
import { flushPkt, type Pkt, pkt } from '../../model/pktline.ts';
import { isWritableRef, nullOid, type RefCommand, refFault } from '../../model/ref.ts';
import { quoted } from '../../model/repo.ts';

/** A command as the client sent it, with what its form alone makes impossible. */
export interface ListedCommand extends RefCommand {
  /** The ref's name in the client's own bytes: reports name it so. */
  readonly name: Buffer;
  /** Why it can't be done, whoever asks; undefined when its form is right. */
  readonly fault: string | undefined;
}

/** What a push's stream says before the pack begins. */
export interface CommandList {
  readonly commands: readonly ListedCommand[];
  readonly shallow: readonly string[];
  readonly capabilities: ReadonlySet<string>;
  readonly pushOptions: readonly Buffer[];
  /** The list was longer than allowed and was read no further than this. */
  readonly overLimit: boolean;
}

/** A listed command as everybody else knows it. */
export function plainCommand({ ref, old, new: next }: RefCommand): RefCommand {
  return { ref, old, new: next };
}

/** Takes packets one by one until the list is complete. */
export interface CommandReader {
  /**
   * @returns true when that was the last packet of the list: what follows is the pack, if there is one
   * @throws UserError `usage` when the stream is no command list, or holds a push certificate
   */
  add(packet: Pkt): boolean;
  /** What was read so far. */
  list(): CommandList;
}

/** Bytes of a list: room for names of usual length, and for what comes beside them. */
const bytesPerRef = 512;
const bytesBeside = 256 * 1024;

/**
 * Reads the command list of a push, and nothing but what git's own clients send: shallow lines, commands,
 * capabilities behind the first NUL of the first command, flush, and push options where they were announced.
 *
 * Of the four tricks of a push (S16) this refuses null-to-null and certificates; the current refs tell the others.
 *
 * @see gitprotocol-pack(5), Reference Update Request
 */
export function commandReader(refsPerPush: number): CommandReader {
  const commands: RefCommand[] = [];
  const names: Buffer[] = [];
  const shallow: string[] = [];
  const pushOptions: Buffer[] = [];
  let capabilities: ReadonlySet<string> = new Set();
  let overLimit = false;
  let inOptions = false;
  let bytes = 0;

  const addCommand = (line: Buffer): void => {
    const end = line.indexOf(0);
    if (end >= 0 && commands.length > 0) throw broken('capabilities behind a later command');
    if (end >= 0) capabilities = readCapabilities(line.subarray(end + 1));
    const { command, name } = readCommand(end < 0 ? line : line.subarray(0, end));
    commands.push(command);
    names.push(name);
  };
  const addLine = (payload: Buffer): void => {
    const line = chomp(payload);
    const text = line.toString('latin1');
    if (text.startsWith('push-cert')) throw certificate();
    if (!text.startsWith('shallow ')) {
      addCommand(line);
      return;
    }
    if (commands.length > 0) throw broken('a shallow line behind a command');
    const oid = text.slice('shallow '.length);
    if (!isOid(oid)) throw broken(`${quoted(oid)} is no object id`);
    shallow.push(oid);
  };
  return {
    add(packet) {
      if (packet.kind === 'flush') {
        if (inOptions || commands.length === 0 || !capabilities.has('push-options')) return true;
        inOptions = true;
        return false;
      }
      if (packet.kind !== 'data') throw broken(`a ${packet.kind} packet in the command list`);
      bytes += packet.payload.length;
      overLimit = bytes > refsPerPush * bytesPerRef + bytesBeside;
      // The packet is part of a bigger buffer, which is not to be kept for it.
      if (inOptions) pushOptions.push(Buffer.from(chomp(packet.payload)));
      else addLine(packet.payload);
      overLimit ||= commands.length > refsPerPush;
      return overLimit;
    },
    list: () => ({
      commands: withFaults(commands, names),
      shallow,
      capabilities,
      pushOptions,
      overLimit,
    }),
  };
}

/**
 * A command list for git's own eyes: written anew from what was read, so that git sees what was judged.
 *
 * @param capabilities - what git is to know; the client's own are not passed on
 */
export function writeCommands(
  { shallow, pushOptions }: CommandList,
  commands: readonly RefCommand[],
  capabilities: readonly string[],
): Buffer {
  const lines = commands.map((command, at) => {
    const line = `${command.old} ${command.new} ${command.ref}`;
    return pkt(at === 0 ? `${line}\0 ${capabilities.join(' ')}` : line);
  });
  const options = capabilities.includes('push-options') ? [...pushOptions.map(pkt), flushPkt] : [];
  return Buffer.concat([
    ...shallow.map((oid) => pkt(`shallow ${oid}`)),
    ...lines,
    flushPkt,
    ...options,
  ]);
}

function readCommand(line: Buffer): { command: RefCommand; name: Buffer } {
  const old = line.toString('latin1', 0, 40);
  const next = line.toString('latin1', 41, 81);
  if (!isOid(old) || !isOid(next) || line[40] !== 0x20 || line[81] !== 0x20 || line.length < 83) {
    throw broken(`${quoted(line.toString('latin1', 0, 100))} is no ref command`);
  }
  const name = Buffer.from(line.subarray(82));
  return { command: { ref: name.toString(), old, new: next }, name };
}

function readCapabilities(bytes: Buffer): Set<string> {
  const words = bytes.toString('latin1').split(' ');
  const format = words.find((word) => word.startsWith('object-format='));
  if (format !== undefined && format !== 'object-format=sha1') {
    throw broken(`${quoted(format)}: this server keeps sha1 repositories only`);
  }
  return new Set(words.filter((word) => word !== ''));
}

function withFaults(commands: readonly RefCommand[], names: readonly Buffer[]): ListedCommand[] {
  const seen = new Map<string, number>();
  for (const { ref } of commands) seen.set(ref, (seen.get(ref) ?? 0) + 1);
  return commands.map((command, at) => {
    const name = names[at] ?? Buffer.alloc(0);
    return { ...command, name, fault: faultOf(command, name, (seen.get(command.ref) ?? 0) > 1) };
  });
}

function faultOf(command: RefCommand, name: Buffer, twice: boolean): string | undefined {
  if (!isUtf8(name)) return 'its name is not UTF-8';
  const fault = refFault(command.ref);
  if (fault !== undefined) return `no ref name: ${fault}`;
  if (!isWritableRef(command.ref)) {
    return 'only refs/heads/, refs/tags/ and refs/notes/ can be pushed';
  }
  if (twice) return 'named twice in one push';
  // git takes this for the deletion of a broken ref and lets it pass every rule.
  if (command.old === nullOid && command.new === nullOid) return 'neither an update nor a deletion';
  return undefined;
}

function chomp(line: Buffer): Buffer {
  return line.at(-1) === 0x0a ? line.subarray(0, -1) : line;
}

function certificate(): UserError {
  return new UserError('usage', 'push certificates are not accepted here', {
    hint: 'push again without --signed; signed commits and tags are welcome',
  });
}

function broken(why: string): UserError {
  return new UserError('usage', `git protocol error: ${why}`);
}
