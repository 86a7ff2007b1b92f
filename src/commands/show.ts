import type { Core } from '../core/core.ts';
import { syncStates } from '../core/peering/state.ts';
import { parseRepoPath } from '../model/repo.ts';
import { reaches } from '../model/right.ts';
import { sizeText } from '../model/units.ts';
import { allRefs } from '../programs/refs.ts';
import { sizeOfTree } from '../programs/size.ts';
import { bytesApart } from '../programs/tips.ts';
import type { Repository } from '../store/repositories.ts';
import {
  array,
  boolean,
  integer,
  maybe,
  maybeInteger,
  maybeTime,
  object,
  present,
  string,
  time,
} from './answers.ts';
import { type Context, command } from './command.ts';
import { boundRow } from './deploy-keys.ts';

const shownRefs = 20;

export const show = command({
  words: 'show',
  summary: 'One repository: refs, size, your right, clone URL',
  examples: ['show acme/app', 'show acme/app --json'],
  args: { repo: { type: 'string', format: 'repo', description: 'NAMESPACE/NAME' } },
  positions: ['repo'],
  required: ['repo'],
  answer: object(
    {
      name: string,
      id: string,
      description: string,
      visibility: string,
      default_branch: string,
      right: string,
      archived: boolean,
      size_bytes: integer,
      refs: array(object({ name: string, oid: string })),
      archived_tips: integer,
      archive_bytes: integer,
      trash_bytes: integer,
      updated_at: time,
      clone_url: string,
      sync: array(
        object({ server: string, state: string, behind_s: maybeInteger, last_sync_at: maybeTime }),
      ),
    },
    {
      grants: array(object({ who: string, right: string, on: string })),
      keys: array(
        object({
          fingerprint: string,
          title: string,
          state: string,
          expires_at: maybeTime,
          on: string,
          right: string,
          refs: maybe,
        }),
      ),
    },
  ),
  needs: ({ repo }) => ({ need: 'repo', path: parseRepoPath(repo), right: 'read' }),
  target: ({ repo }) => repo,
  run: async ({ core, granted }) => {
    const repo = present(granted.repo);
    const { right } = granted.decision;
    const directory = core.repos.directory(repo);
    const refs = await allRefs(directory);
    const archive = refs.filter(({ name }) => name.startsWith('refs/cpm/'));
    return {
      name: repo.fullName,
      id: repo.id,
      description: repo.description,
      visibility: repo.visibility,
      default_branch: repo.defaultBranch,
      right,
      archived: repo.archived,
      size_bytes: await sizeOfTree(directory),
      refs: refs.filter(({ name }) => !name.startsWith('refs/cpm/')),
      archived_tips: archive.length,
      archive_bytes: await bytesApart(core.git, directory, {
        oids: archive.map(({ oid }) => oid),
        kept: refs.filter(({ name }) => !name.startsWith('refs/cpm/')).map(({ oid }) => oid),
      }),
      // What had this name before is for those whose it is.
      trash_bytes: reaches(right, 'owner') ? await bytesInTrash(core, repo) : 0,
      updated_at: repo.updatedAt,
      clone_url: core.cloneUrl(repo.fullName),
      sync: await syncStates(core, repo),
      // Who else has rights is for admins (S18).
      ...(reaches(right, 'admin') ? await forAdmins(core, repo) : {}),
    };
  },
  text: (repo) => {
    const lines = [
      `${repo.name}  ${repo.visibility}${repo.archived ? ', archived' : ''}, you have: ${repo.right}`,
      ...(repo.description === '' ? [] : [repo.description]),
      `clone: ${repo.clone_url}`,
      `size: ${sizeText(repo.size_bytes)}, refs: ${repo.refs.length}, archived tips: ${repo.archived_tips}`,
      ...repo.refs.slice(0, shownRefs).map(({ name, oid }) => `  ${oid.slice(0, 12)} ${name}`),
    ];
    if (repo.refs.length > shownRefs) lines.push(`  … and ${repo.refs.length - shownRefs} more`);
    for (const { who, right } of repo.grants ?? []) lines.push(`grant: ${who} ${right}`);
    for (const key of repo.keys ?? []) {
      const refs = key.refs === null ? '' : `, refs ${key.refs}`;
      lines.push(`deploy key: ${key.fingerprint} ${key.state} ${key.right}${refs} ${key.title}`);
    }
    return lines.join('\n');
  },
});

async function forAdmins(core: Context['core'], repo: Repository) {
  const bound = await core.store.deployKeys.within({ repo });
  return {
    grants: await core.store.access.list(repo),
    keys: bound.map(({ key, bound: binding }) => ({
      fingerprint: key.fingerprint,
      title: key.title,
      state: key.state,
      expires_at: key.expiresAt ?? null,
      ...boundRow(binding),
    })),
  };
}

/** What the repositories take that had this name and are in the trash. */
async function bytesInTrash(core: Core, { namespaceId, name }: Repository): Promise<number> {
  const trashed = await core.store.trash.named(namespaceId, name);
  return trashed.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}
