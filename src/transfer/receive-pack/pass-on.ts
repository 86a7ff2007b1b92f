import type { RefResult } from '../../core/push.ts';
import { UserError } from '../../model/errors.ts';
import { nullOid, type RefCommand } from '../../model/ref.ts';
import { endPush } from '../../programs/quarantine.ts';
import { readRefsOf } from '../../programs/refs.ts';
import type { Exit, Program } from '../../programs/run.ts';
import { endReason } from '../client.ts';
import { statusOf } from '../pass.ts';
import { type Attempt, type Ending, faultEnding, faultText } from './attempt.ts';
import { plainCommand, writeCommands } from './commands.ts';
import { feed } from './feed.ts';
import { Hearing } from './hearing.ts';
import { type Refusals, refusalsOf } from './judge.ts';
import { readOutput } from './output.ts';
import type { Report } from './report.ts';

/** What became of the commands that were given to git. */
type Outcome = Omit<Ending, 'refused'> & { readonly results: readonly RefResult[] };

/**
 * Passes the admitted commands and the pack to git, and has the core settle what came of it, however it came.
 *
 * @param refused - per command of the list, why it is not given to git
 * @param directory - the admitted repository
 */
export async function passOn(
  attempt: Attempt,
  refused: Refusals,
  directory: string,
): Promise<Ending> {
  const { list } = attempt;
  const passed = list.commands.filter((_, at) => refused[at] === undefined);
  const commands = passed.map(plainCommand);
  const begunMs = Date.now();
  const { results, ...ending } = await runGit(attempt, commands, directory);
  const { lines, fault } = await settle(attempt, results, { directory, begunMs });
  // What is perhaps not durable, or not recorded, may not be promised.
  const unsure = fault === undefined ? undefined : 'internal error: it could not be recorded';
  const asked = fault === undefined ? await follow(attempt, results) : { lines: [] };
  const byRef = new Map(results.map(({ command, refused: why }) => [command.ref, why ?? unsure]));
  return {
    ...ending,
    lines: [...lines, ...ending.lines, ...asked.lines],
    refused: list.commands.map(({ ref }, at) => refused[at] ?? byRef.get(ref)),
    ...faultOf(ending.fault ?? fault ?? asked.fault),
  };
}

function faultOf(fault: unknown): Pick<Ending, 'fault'> {
  return fault === undefined ? {} : { fault };
}

/** Does what the push options ask for. The push is done and stays so, whatever comes of it. */
async function follow(
  { list, push }: Attempt,
  results: readonly RefResult[],
): Promise<{ lines: readonly string[]; fault?: unknown }> {
  const isAnyDone = results.some(({ refused }) => refused === undefined);
  if (!isAnyDone || list.pushOptions.length === 0) return { lines: [] };
  try {
    return { lines: await push.follow(list.pushOptions.map((option) => option.toString())) };
  } catch (fault) {
    return { lines: ['internal error: the push is done, its options are not'], fault };
  }
}

/** Makes durable and records what git did. The record is made even where the disk failed: the refs have moved. */
async function settle(
  { push, talk }: Attempt,
  results: readonly RefResult[],
  { directory, begunMs }: { readonly directory: string; readonly begunMs: number },
): Promise<{ lines: readonly string[]; fault?: unknown }> {
  const isAnyDone = results.some(({ refused }) => refused === undefined);
  const synced = isAnyDone ? talk.newObjects.sync(directory, begunMs) : Promise.resolve();
  const [disk] = await Promise.allSettled([synced]);
  const [record] = await Promise.allSettled([push.settle(results)]);
  if (record.status === 'rejected') return { lines: [], fault: record.reason };
  if (disk.status === 'rejected') return { lines: record.value, fault: disk.reason };
  return { lines: record.value };
}

async function runGit(
  attempt: Attempt,
  commands: readonly RefCommand[],
  directory: string,
): Promise<Outcome> {
  try {
    return await converse(attempt, commands, directory);
  } catch (fault) {
    // Nothing may be said of refs that can't be read: the journal keeps the push until somebody can.
    if (fault instanceof OutcomeUnknown) throw fault;
    return { unpack: 'ok', ...allRefused(commands, faultText(fault)), ...faultEnding(fault) };
  }
}

/** git had everything and ended without a report, and what it did could not be read. */
class OutcomeUnknown extends Error {
  constructor(cause: unknown) {
    super('what became of a push could not be read', { cause });
  }
}

/**
 * @throws OutcomeUnknown, or whatever ended the push before git had its last bytes; git is gone then, and its
 *   quarantine with it
 */
async function converse(
  attempt: Attempt,
  commands: readonly RefCommand[],
  directory: string,
): Promise<Outcome> {
  const { config, hooks } = await attempt.push.rules.spawning();
  const hearing = hooks && new Hearing(attempt, { hooks, commands, directory });
  try {
    const child = attempt.talk.git.start(['receive-pack', '--stateless-rpc', '.'], {
      cwd: directory,
      config: { ...config, 'receive.maxInputSize': String(attempt.push.limits.packSizeBytes) },
      hooks,
    });
    hearing?.listen(child);
    const outcome = await hearOut(attempt, { child, commands, directory, hearing });
    return inOwnWords(attempt, hearing?.amend(outcome) ?? outcome);
  } finally {
    await hooks?.remove();
  }
}

/** A rule that git itself was told of is named in place of git's word for it. */
function inOwnWords({ push }: Attempt, { results, ...ending }: Outcome): Outcome {
  const own = results.map(({ command, refused }) => ({
    command,
    refused: refused && push.rules.inOwnWords(command.ref, refused),
  }));
  return { ...ending, results: own };
}

async function hearOut(
  attempt: Attempt,
  { child, commands, directory, hearing }: Running,
): Promise<Outcome> {
  const { answer, input, list, push, tail, talk } = attempt;
  const { packSizeBytes } = push.limits;
  const report = readOutput(child, answer, { refs: commands.length, directory });
  const guard = guarded(attempt, child, directory);
  let second: Refusals = [];
  try {
    const fed = await feed(child, input, {
      head: writeCommands(list, commands, capabilitiesFor(list.capabilities)),
      hasPack: commands.some((command) => command.new !== nullOid),
      tail,
      packSizeBytes,
      mayEnd: async () => {
        second = await refusalsOf(commands, push, directory);
        if (second.every((why) => why === undefined)) await hearing?.prepare();
        if (talk.signal.aborted) throw endReason(talk.signal);
        if (second.some((why) => why !== undefined)) return false;
        guard.release();
        answer.hurry();
        return true;
      },
    });
    if (fed === 'deaf' && talk.signal.aborted) throw endReason(talk.signal);
    if (fed === 'held') return await heldBack(guard, commands, second);
    if (fed === 'oversize') return await tooBig(guard, commands, packSizeBytes);
  } catch (fault) {
    await guard.end();
    throw fault;
  }
  const [said, exit] = await Promise.all([report, child.exited]);
  guard.release();
  if (said !== undefined) return fromReport(said, commands, directory);
  return fromDisk(exit, commands, directory).catch((cause) => {
    throw new OutcomeUnknown(cause);
  });
}

/** A git that is at work on a push. */
interface Running {
  readonly child: Program;
  readonly commands: readonly RefCommand[];
  readonly directory: string;
  readonly hearing: Hearing | undefined;
}

interface Guard {
  /** Ends git and removes what it had received. */
  end(): Promise<void>;
  /** From now on nothing ends git any more. */
  release(): void;
}

/** Ends git as soon as the talk is aborted, as long as it has not got its last bytes. */
function guarded({ answer, talk }: Attempt, child: Program, directory: string): Guard {
  const { signal } = talk;
  let ending: Promise<void> | undefined;
  const end = (): Promise<void> => {
    answer.mute();
    ending ??= endPush(child, directory);
    return ending;
  };
  const onAbort = (): void => {
    end().catch(() => child.end());
  };
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  return { end, release: () => signal.removeEventListener('abort', onAbort) };
}

/** What git is told of the client's capabilities. Its progress and its report are always asked for, apart. */
function capabilitiesFor(client: ReadonlySet<string>): string[] {
  const passed = ['atomic', 'push-options', 'quiet'].filter((word) => client.has(word));
  return ['report-status', 'side-band-64k', 'object-format=sha1', ...passed];
}

async function heldBack(
  guard: Guard,
  commands: readonly RefCommand[],
  refusals: Refusals,
): Promise<Outcome> {
  await guard.end();
  const results = commands.map((command, at) => ({
    command,
    refused: refusals[at] ?? 'not done: another ref of this push was refused meanwhile',
  }));
  return { unpack: 'ok', results, lines: [], status: 0 };
}

async function tooBig(
  guard: Guard,
  commands: readonly RefCommand[],
  packSizeBytes: number,
): Promise<Outcome> {
  await guard.end();
  const over = new UserError(
    'unavailable',
    `the pack is bigger than ${packSizeBytes} bytes (limits.pack_size)`,
    { hint: 'push in several parts, oldest commits first' },
  );
  return { unpack: 'ok', ...allRefused(commands, over.message), ...faultEnding(over) };
}

function allRefused(commands: readonly RefCommand[], refused: string): Pick<Outcome, 'results'> {
  return { results: commands.map((command) => ({ command, refused })) };
}

function fromReport(said: Report, commands: readonly RefCommand[], directory: string): Outcome {
  const results = commands.map((command) => {
    if (!said.refs.has(command.ref)) return { command, refused: 'git did not report on it' };
    return { command, refused: said.refs.get(command.ref)?.replaceAll(directory, '.') };
  });
  return { unpack: said.unpack.replaceAll(directory, '.'), results, lines: [], status: 0 };
}

/** git died before its report: what it did is read from the refs themselves. */
async function fromDisk(
  exit: Exit,
  commands: readonly RefCommand[],
  directory: string,
): Promise<Outcome> {
  const refs = commands.map(({ ref }) => ref);
  const values = await readRefsOf(directory, refs);
  const why = `git ended without a report (status ${statusOf(exit)})`;
  const results = commands.map((command) => {
    const current = values.get(command.ref)?.oid ?? nullOid;
    return { command, refused: current === command.new ? undefined : why };
  });
  return { unpack: 'ok', results, lines: [why], status: 0 };
}
