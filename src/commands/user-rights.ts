import { asUser, standingOf } from '../core/access.ts';
import { parseRepoPath } from '../model/repo.ts';
import { type Right, reaches } from '../model/right.ts';
import type { User } from '../store/users.ts';
import { boolean, changed, object, present, string } from './answers.ts';
import { type Context, command, list } from './command.ts';
import { changedWithKeys, tellingOrphans } from './deploy-keys.ts';
import { decided } from './list.ts';
import { named } from './user.ts';

const name = { type: 'string', format: 'name', description: "the user's name" } as const;

const admin = command({
  words: 'user admin',
  summary: 'Make a user a site admin, or take that back',
  examples: ['user admin ana', 'user admin ana --off'],
  args: { name, off: { type: 'boolean', description: 'take it back' } },
  positions: ['name'],
  required: ['name'],
  answer: changedWithKeys,
  changes: true,
  needs: () => ({ need: 'site-admin' }),
  target: (args) => args.name,
  run: async (context, args) => {
    const { core, by } = context;
    const user = await named(core, args.name);
    return tellingOrphans(context, { madeBy: user.id }, () =>
      core.store.users.setAdmin(user, args.off !== true, by),
    );
  },
  text: (answer) => (answer.changed ? 'Changed.' : 'So it was already.'),
});

const release = command({
  words: 'user release',
  summary: 'Free the name of a user or organization that is gone',
  examples: ['user release olduser'],
  args: { name },
  positions: ['name'],
  required: ['name'],
  answer: changed,
  changes: true,
  needs: () => ({ need: 'site-admin' }),
  target: (args) => args.name,
  run: async ({ core, by }, args) => ({
    changed: await core.store.users.release(args.name, by),
  }),
  text: (answer) => (answer.changed ? 'The name is free.' : 'Nobody ever had this name.'),
});

const access = list({
  words: 'user access',
  summary: 'Every repository that a user reaches, and why',
  examples: ['user access ana'],
  args: { name },
  positions: ['name'],
  required: ['name'],
  row: object({ repo: string, right: string, why: string }),
  columns: ['REPOSITORY', 'RIGHT', 'WHY'],
  needs: (args) => ({ need: 'self', user: args.name }),
  target: (args) => args.name,
  run: async ({ core, granted }) => accessRows(core, present(granted.user)),
  cells: (row) => [row.repo, row.right, row.why],
});

async function* accessRows(core: Context['core'], user: User) {
  const viewer = user.admin ? ({ kind: 'all' } as const) : ({ kind: 'user', id: user.id } as const);
  const asker = { principal: asUser(user), standing: standingOf(user) };
  for await (const { repo, right, why } of decided(core, asker, { viewer })) {
    yield { repo: repo.fullName, right, why };
  }
}

const verbs = ['read', 'write', 'admin', 'force', 'delete'] as const;

const can = command({
  words: 'user can',
  summary: 'Whether a user may do something to a repository or ref, and why; status 0 yes, 4 no',
  examples: ['user can ana write acme/app', 'user can ana delete acme/app main'],
  args: {
    name,
    verb: { type: 'string', enum: verbs, description: 'what to do' },
    repo: { type: 'string', format: 'repo', description: 'NAMESPACE/NAME' },
    ref: {
      type: 'string',
      format: 'ref',
      description: 'a branch or full ref, for force and delete',
    },
  },
  positions: ['name', 'verb', 'repo', 'ref'],
  required: ['name', 'verb', 'repo'],
  answer: object({ allowed: boolean, why: string }),
  needs: (args) => ({ need: 'can', user: args.name, path: parseRepoPath(args.repo) }),
  target: (args) => args.name,
  run: async ({ core, granted }, args) => {
    const user = present(granted.user);
    const held = granted.repo && (await core.access.rightOf(user, granted.repo));
    if (granted.repo === undefined || held === undefined || held.right === 'none') {
      return { allowed: false, why: held?.why ?? 'nothing gives you a right to it' };
    }
    const { verb, ref } = args as { verb: (typeof verbs)[number]; ref: string | undefined };
    const wanted: Right = verb === 'force' || verb === 'delete' ? 'write' : verb;
    if (wanted === 'write' && granted.repo.archived) {
      return { allowed: false, why: 'the repository is archived' };
    }
    const mayBe = reaches(held.right, wanted);
    if (mayBe && ref !== undefined && (verb === 'force' || verb === 'delete')) {
      const asked = { ref: ref.startsWith('refs/') ? ref : `refs/heads/${ref}`, act: verb };
      const refusal = await core.rules.refusalOf(granted.repo, asUser(user), asked);
      if (refusal !== undefined) return { allowed: false, why: refusal.reason };
    }
    return { allowed: mayBe, why: held.why };
  },
  text: ({ allowed, why }) => `${allowed ? 'yes' : 'no'}: ${why}`,
});

export const userRightsCommands = [admin, release, access, can];
