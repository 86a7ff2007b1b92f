import { nullOid, type RefCommand } from '../model/ref.ts';
import { matchesRef } from '../model/ref-pattern.ts';
import { quoted } from '../model/repo.ts';
import type { Rule } from '../model/rule.ts';
import { sizeText } from '../model/units.ts';
import type { Git } from '../programs/git.ts';
import { isForward, largeFile, type ObjectPlace, type Span } from '../programs/new-objects.ts';
import { allRefs } from '../programs/refs.ts';
import {
  type Judgement,
  type OpenQuestion,
  type Refusal,
  type RuledRepo,
  refusalBy,
  ruleName,
  type Wanted,
} from './refusal.ts';
import type { Signatures } from './signatures.ts';

/** Where objects are looked at, and with what. */
export interface ObjectParts {
  readonly git: Git;
  readonly place: ObjectPlace;
  readonly signatures: Signatures;
}

/** What is wrong with new objects, for people; undefined when nothing is. */
type Fault = string | undefined;

/**
 * Answers what the rules left open, by the objects themselves.
 *
 * @param judged - per command
 * @returns per command, why not; undefined where allowed
 * @throws Error when git fails: then nothing may be allowed
 */
export async function judgeObjects(
  parts: ObjectParts,
  { repo, commands }: Wanted,
  judged: readonly Judgement[],
): Promise<readonly (Refusal | undefined)[]> {
  const refusals = new Map<RefCommand, Refusal>();
  const asked = commands.map((command, at) => ({ command, open: judged[at]?.open ?? [] }));
  for (const { command, open } of asked) {
    const question = open.find(({ about }) => about === 'forward');
    if (question === undefined || (await isForward(parts.git, parts.place, command))) continue;
    refusals.set(command, refusalBy(question.rule, repo, { ref: command.ref, act: 'force' }));
  }
  for (const { rule, about } of questionsOf(asked.flatMap(({ open }) => open))) {
    const under = asked.filter(
      ({ command, open }) =>
        !refusals.has(command) && open.some((one) => one.rule === rule && one.about === about),
    );
    const check = await checkOf(parts, { rule, about });
    for (const kind of ['created', 'updated'] as const) {
      const some = under.filter(
        ({ command }) => (command.old === nullOid) === (kind === 'created'),
      );
      const found = await searched(
        some.map(({ command }) => command),
        (few) => check(few, kind),
      );
      for (const [command, fault] of found)
        refusals.set(command, refusalFor(fault, rule, repo, about));
    }
  }
  return commands.map((command) => refusals.get(command));
}

/** Each rule's question about objects once, however many refs it is about. */
function questionsOf(open: readonly OpenQuestion[]): readonly OpenQuestion[] {
  const asked = open.filter(({ about }) => about !== 'forward');
  return asked.filter(
    ({ rule, about }, at) =>
      asked.findIndex((other) => other.rule === rule && other.about === about) === at,
  );
}

type Check = (commands: readonly RefCommand[], kind: 'created' | 'updated') => Promise<Fault>;

async function checkOf(
  { git, place, signatures }: ObjectParts,
  { rule, about }: OpenQuestion,
): Promise<Check> {
  const refs = await allRefs(place.directory);
  const present = new Set(refs.map(({ oid }) => oid));
  // A ref that moves is measured against the refs under the same rule alone: what came in elsewhere, past the rule,
  // is new to it. A new ref begins with what is there already.
  const ruled = refs.filter(({ name }) => matchesRef(rule.pattern, name)).map(({ oid }) => oid);
  return async (commands, kind) => {
    const span: Span = {
      news: commands.map((command) => command.new),
      known: kind === 'created' ? 'all' : ruled,
    };
    if (about === 'signed') {
      const others = commands.filter(({ ref }) => !ref.startsWith('refs/heads/'));
      return signatures.faultIn(place, span, { others: others.map((one) => one.new), present });
    }
    const large = await largeFile(git, place, { span, maxBytes: rule.maxFileBytes ?? 0 });
    return large && `${quoted(large.path)} is ${sizeText(large.sizeBytes)}`;
  };
}

/** Looks at all at once, and only where something is wrong at fewer and fewer, until it is clear at which. */
async function searched(
  commands: readonly RefCommand[],
  check: (commands: readonly RefCommand[]) => Promise<Fault>,
): Promise<ReadonlyMap<RefCommand, string>> {
  const [first] = commands;
  if (first === undefined) return new Map();
  const fault = await check(commands);
  if (fault === undefined) return new Map();
  if (commands.length === 1) return new Map([[first, fault]]);
  const half = Math.ceil(commands.length / 2);
  return new Map([
    ...(await searched(commands.slice(0, half), check)),
    ...(await searched(commands.slice(half), check)),
  ]);
}

function refusalFor(
  fault: string,
  rule: Rule,
  repo: RuledRepo,
  about: OpenQuestion['about'],
): Refusal {
  return {
    reason: `${fault}: refused by ${ruleName(rule, repo)}`,
    hint:
      about === 'signed'
        ? 'sign with a key that you sign in with: git config gpg.format ssh; git config user.signingKey KEY.pub; git rebase --force-rebase --gpg-sign'
        : 'take it out of the commits that bring it, with: git rebase -i',
  };
}
