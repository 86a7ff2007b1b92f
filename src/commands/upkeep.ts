import type { StrayName } from '../core/adopt.ts';
import type { Core } from '../core/core.ts';
import { dropOldConflicts } from '../core/peering/conflict-refs.ts';
import { verifyRepository } from '../core/verify.ts';
import { UserError } from '../model/errors.ts';
import { parseRepoPath, type RepoPath } from '../model/repo.ts';
import type { Stock } from '../programs/tidy.ts';
import { array, boolean, integer, object, present, string } from './answers.ts';
import { command } from './command.ts';

const repo = { type: 'string', format: 'repo', description: 'NAMESPACE/NAME' } as const;

const verify = command({
  words: 'repo verify',
  summary: 'Check that a repository is whole: files, refs against the record, every object',
  examples: ['repo verify acme/app', 'repo verify acme/app --json'],
  args: { repo },
  positions: ['repo'],
  required: ['repo'],
  answer: object({
    ok: boolean,
    name: string,
    refs: integer,
    problems: array(object({ about: string, text: string })),
    duration_ms: integer,
  }),
  needs: (args) => ({ need: 'repo', path: parseRepoPath(args.repo), right: 'admin' }),
  target: (args) => args.repo,
  run: async ({ core, granted, signal, progress, staySilent }) => {
    const found = present(granted.repo);
    const begun = performance.now();
    staySilent();
    const { problems, refs } = await verifyRepository(core, found, { signal, progress });
    const duration_ms = Math.round(performance.now() - begun);
    return { ok: problems.length === 0, name: found.fullName, refs, problems, duration_ms };
  },
  text: ({ ok, name, refs, problems }) =>
    ok
      ? `${name} is whole: ${refs} refs, as the record has them; every object is sound.`
      : [
          `${name} is not whole; nothing was changed:`,
          ...problems.map(({ about, text }) => `  ${about}: ${text}`),
        ].join('\n'),
  refusal: ({ ok, name, problems }) => {
    if (ok) return undefined;
    const [first] = problems;
    const more = problems.length > 1 ? `, and ${problems.length - 1} more` : '';
    const what = `${name}: ${first?.about}: ${first?.text}${more}`;
    return new UserError('corrupt', what, {
      hint: 'nothing was changed; the operator restores it from a backup or another server',
    });
  },
});

const stock = object({ loose_objects: integer, packs: integer, loose_refs: integer });

const maintain = command({
  words: 'repo maintain',
  summary: 'Pack a repository now, and let archived values go whose time is over',
  examples: ['repo maintain acme/app', 'repo maintain acme/app --prune-archive'],
  args: {
    repo,
    'prune-archive': {
      type: 'boolean',
      description: 'on a mirror too, which keeps archived values else; for its operator',
    },
  },
  positions: ['repo'],
  required: ['repo'],
  answer: object({
    changed: boolean,
    name: string,
    before: stock,
    after: stock,
    expired_tips: integer,
    pruned_objects: integer,
    duration_ms: integer,
  }),
  changes: true,
  needs: (args) => ({
    need: 'repo',
    path: parseRepoPath(args.repo),
    right: 'admin',
    operatorAlone: args['prune-archive'] === true,
  }),
  target: (args) => args.repo,
  run: async ({ core, by, granted, signal, progress, staySilent, record }, args) => {
    const found = present(granted.repo);
    const begun = performance.now();
    staySilent();
    if (!by.dryRun) await dropOldConflicts(core, found);
    const pruneArchive = args['prune-archive'] === true;
    const done = await core.housekeeping.maintain(found, by, { signal, progress, pruneArchive });
    const { expiredTips, prunedObjects } = done;
    record({
      ...(pruneArchive ? { prune_archive: true } : {}),
      ...(expiredTips > 0 ? { expired_tips: expiredTips } : {}),
      ...(prunedObjects > 0 ? { pruned_objects: prunedObjects } : {}),
    });
    return {
      changed: true,
      name: found.fullName,
      before: stockOf(done.before),
      after: stockOf(done.after),
      expired_tips: expiredTips,
      pruned_objects: prunedObjects,
      duration_ms: Math.round(performance.now() - begun),
    };
  },
  text: ({ name, before, after, expired_tips, pruned_objects }) =>
    [
      `${name} is packed: ${stockText(before)} before, ${stockText(after)} now.`,
      ...(expired_tips > 0 ? [`${expired_tips} archived values were let go.`] : []),
      ...(pruned_objects > 0 ? [`${pruned_objects} objects that nothing leads to are gone.`] : []),
    ].join('\n'),
});

function stockOf({ looseObjects, packs, looseRefs }: Stock) {
  return { loose_objects: looseObjects, packs, loose_refs: looseRefs };
}

function stockText({ loose_objects, packs, loose_refs }: ReturnType<typeof stockOf>): string {
  return `${loose_objects} loose objects, ${packs} packs, ${loose_refs} loose refs`;
}

const adopt = command({
  words: 'repo adopt',
  summary: 'Register bare repositories that lie under repositories/',
  examples: ['repo adopt acme/found', 'repo adopt'],
  args: {
    repo: { ...repo, description: 'NAMESPACE/NAME; all that list --discover shows without it' },
  },
  positions: ['repo'],
  answer: object({
    changed: boolean,
    adopted: array(object({ name: string, id: string, refs: integer })),
    refused: array(object({ name: string, why: string })),
  }),
  changes: true,
  needs: () => ({ need: 'operator' }),
  target: (args) => args.repo,
  run: async (context, args) => {
    const { core, by, signal, progress } = context;
    const run = { by, action: 'repo adopt', signal, progress };
    const adopted: { name: string; id: string; refs: number }[] = [];
    const refused: { name: string; why: string }[] = [];
    if (args.repo !== undefined) {
      const stray = await strayOf(core, parseRepoPath(args.repo));
      const name = `${stray.namespace.name}/${stray.name}`;
      adopted.push({ name, ...(await core.adoption.adopt(stray, run)) });
      return { changed: true, adopted, refused };
    }
    for await (const { fullName: name, fault } of core.adoption.strays()) {
      signal.throwIfAborted();
      if (fault !== undefined) {
        refused.push({ name, why: fault });
        continue;
      }
      const stray = await strayOf(core, parseRepoPath(name));
      await core.adoption.adopt(stray, run).then(
        (done) => adopted.push({ name, ...done }),
        (error) => refused.push({ name, why: whyOf(error) }),
      );
    }
    return { changed: adopted.length > 0, adopted, refused };
  },
  text: ({ adopted, refused }) =>
    [
      ...adopted.map(({ name, refs }) => `Registered ${name}, ${refs} refs`),
      ...refused.map(({ name, why }) => `Left ${name}: ${why}`),
      ...(adopted.length + refused.length === 0 ? ['Nothing lies there unregistered.'] : []),
    ].join('\n'),
});

/** @throws the error itself, unless it is one for people */
function whyOf(error: unknown): string {
  if (error instanceof UserError) return error.message;
  throw error;
}

/** @throws UserError `not_found` when its namespace is nobody's */
async function strayOf(core: Core, path: RepoPath): Promise<StrayName> {
  const fallback =
    core.config.values.default_namespace || (await core.store.users.firstAdmin())?.name;
  const owner = path.namespace ?? fallback ?? '';
  const namespace = await core.store.names.find(owner);
  if (namespace !== undefined) return { namespace, name: path.name };
  throw new UserError('not_found', `${owner}: no such user or organization`, {
    hint: `create the organization first: org create ${owner}`,
  });
}

export const upkeepCommands = [verify, maintain, adopt];
