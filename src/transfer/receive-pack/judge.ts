import type { Push } from '../../core/push.ts';
import { shortOid } from '../../model/oid.ts';
import { nullOid, type RefCommand } from '../../model/ref.ts';
import { readRefsOf } from '../../programs/refs.ts';
import { type CommandList, plainCommand } from './commands.ts';

/** Per command of a list, in its order: why it may not be done; undefined where it may. */
export type Refusals = readonly (string | undefined)[];

/**
 * Judges each command of a push: by its form, by right and rules, by what its ref is now. In an atomic push one
 * refusal is everybody's.
 *
 * @param directory - the repository as it is; an empty one when the push is to create it
 * @throws UserError when the whole push may not be
 */
export async function judge(list: CommandList, push: Push, directory: string): Promise<Refusals> {
  const formed = list.commands.filter(({ fault }) => fault === undefined);
  const told =
    formed.length === 0 ? [] : await refusalsOf(formed.map(plainCommand), push, directory);
  const reasons = new Map(formed.map((command, at) => [command, told[at]]));
  const refusals = list.commands.map((command) => command.fault ?? reasons.get(command));
  if (!list.capabilities.has('atomic') || refusals.every((why) => why === undefined)) {
    return refusals;
  }
  return refusals.map((why) => why ?? 'atomic push: another ref was refused');
}

/**
 * What right, rules and the refs themselves say now of commands whose form is right.
 *
 * @throws UserError when the whole push may not be
 */
export async function refusalsOf(
  commands: readonly RefCommand[],
  push: Push,
  directory: string,
): Promise<Refusals> {
  const decided = await push.decide(commands);
  const stale = await staleIn(commands, directory);
  return commands.map((_, at) => decided[at] ?? stale[at]);
}

/**
 * git compares a command's old value only where it knows that object, and follows a symref to a ref that no rule
 * was asked about: both are looked at here (S16).
 */
async function staleIn(commands: readonly RefCommand[], directory: string): Promise<Refusals> {
  const refs = commands.map(({ ref }) => ref);
  const values = await readRefsOf(directory, refs);
  return commands.map(({ ref, old }) => {
    const value = values.get(ref);
    if (value?.symref !== undefined) return 'it is a name for another ref: push to that one';
    const current = value?.oid ?? nullOid;
    if (current === old) return undefined;
    if (current === nullOid) return 'it does not exist any more: fetch first';
    return `it is at ${shortOid(current)} now: fetch first`;
  });
}
