import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../../model/errors.ts';
import type { Principal } from '../../model/principal.ts';
import { isWritableRef, nullOid, type RefCommand, refFault, shortRef } from '../../model/ref.ts';
import { parseRepoName } from '../../model/repo.ts';
import { type RefList, refLines } from '../../model/sync-refs.ts';
import { initBare } from '../../programs/bare.ts';
import { fetchNeighbor, listNeighbor } from '../../programs/fetch-neighbor.ts';
import { setHead } from '../../programs/files.ts';
import { checkConnected, relationOf } from '../../programs/pack.ts';
import { allRefs } from '../../programs/refs.ts';
import { sizeOfTree } from '../../programs/size.ts';
import type { Progress } from '../../programs/watched.ts';
import type { Actor } from '../../store/changes.ts';
import type { Neighbor } from '../../store/neighbors.ts';
import type { Repository } from '../../store/repositories.ts';
import type { Core } from '../core.ts';
import { visibleRefs } from '../peering/snapshot.ts';
import { changeRefs } from '../ref-change.ts';

/** A copy to be made or brought up to date, straight from a neighbor's beacon. */
export interface PublicPull {
  readonly neighbor: Neighbor;
  /** What the repository is called over there. */
  readonly path: string;
  /** What it is called here. */
  readonly into: string;
  readonly principal: Principal;
  readonly by: Actor;
  readonly signal: AbortSignal;
  readonly progress: ((now: Progress) => void) | undefined;
}

/** What it came to. */
export interface PublicPulled {
  readonly repo: string;
  readonly result: 'created' | 'updated' | 'up-to-date' | 'conflict';
  readonly updated: number;
  readonly conflicted: number;
  readonly bytes: number;
  readonly notes: readonly string[];
}

/**
 * Fetches a public repository from a neighbor that need not be confirmed: into quarantine, checked, then like a push by
 * whoever asked for it, under the same rules. Nothing is forced, nothing deleted, and nothing is ever sent there.
 *
 * @throws UserError `conflict` where the name here is something else's; `unavailable`, `not_found`, `corrupt`
 */
export async function pullPublic(core: Core, pull: PublicPull): Promise<PublicPulled> {
  const { store, git, room, config } = core;
  const { neighbor, path, into, signal } = pull;
  const { namespace = '', name } = parseRepoName(into);
  const owner = await store.names.find(namespace);
  const repo = owner && (await store.repositories.byName(owner.ownerId, name));
  if (owner === undefined) {
    throw new UserError('not_found', `${namespace}: no such user or organization`, {
      hint: `create the organization first: org create ${namespace}`,
    });
  }
  if (repo !== undefined) await checkCopy(core, repo, pull);
  await room.onDisk();
  const url = urlOf(neighbor, path);
  const folder = join(config.dataDir, 'incoming', `neighbor-${randomUUID()}`);
  try {
    await initBare(folder, { defaultBranch: 'main', repoId: randomUUID() });
    const advertised = await listNeighbor(git, folder, { url, signal });
    const theirs = checkRefs(advertised.refs, config.values['limits.refs_per_push']);
    const staged = { folder, url, theirs };
    if (repo !== undefined) return await update(core, repo, { ...pull, ...staged });
    const { head } = advertised;
    return await create(core, { ...pull, ...staged, head, namespace: owner, name });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface Staged {
  /** A bare repository that nobody else sees. */
  readonly folder: string;
  readonly url: string;
  readonly theirs: RefList;
}

/** Equal names never link by themselves. */
async function checkCopy(core: Core, repo: Repository, { neighbor, path }: PublicPull) {
  const copy = await core.store.neighbors.copyOf(repo.id);
  if (copy?.neighborId === neighbor.id && copy.path === path) return;
  throw new UserError('conflict', `${repo.fullName}: it is here already, and no copy of that`, {
    hint: 'copy it under another name: neighbors sync NAME REPO --into NAMESPACE/NEW',
  });
}

function urlOf({ address, port }: Neighbor, path: string): string {
  return `git://${address.includes(':') ? `[${address}]` : address}:${port}/${path}.git`;
}

/** Whatever else is advertised is left alone. @throws UserError `unavailable` */
function checkRefs(advertised: RefList, most: number): RefList {
  const refs = [...advertised].filter(([ref]) => isWritableRef(ref) && refFault(ref) === undefined);
  if (refs.length <= most) return new Map(refs);
  throw new UserError(
    'unavailable',
    `${refs.length} refs; ${most} are taken (limits.refs_per_push)`,
  );
}

const kinds = ['heads', 'tags', 'notes'];

async function create(
  core: Core,
  {
    folder,
    url,
    theirs,
    head,
    namespace,
    name,
    ...pull
  }: PublicPull &
    Staged & {
      head: string | undefined;
      namespace: { name: string; ownerId: string; kind: 'user' | 'org' };
      name: string;
    },
): Promise<PublicPulled> {
  const { git, store, imports } = core;
  const { neighbor, path, by, signal, progress } = pull;
  const limitBytes = core.config.values['limits.pack_size'];
  const refspecs = kinds.map((kind) => `+refs/${kind}/*:refs/${kind}/*`);
  await fetchNeighbor(git, folder, { url, refspecs, limitBytes, signal, progress });
  if (head !== undefined && theirs.has(`refs/heads/${head}`)) await setHead(folder, head);
  const bytes = await sizeOfTree(join(folder, 'objects'));
  const fullName = `${namespace.name}/${name}`;
  const done = { repo: fullName, result: 'created', conflicted: 0, bytes, notes: [] } as const;
  if (by.dryRun) return { ...done, updated: theirs.size };
  const source = { kind: 'repository', path: folder } as const;
  const description = `copy of ${neighbor.name}'s ${path}`;
  const run = { by, action: 'neighbors sync', signal };
  const { id, refs } = await imports.create({ namespace, name, description }, source, run);
  await store.neighbors.noteCopy({ id, fullName }, { neighbor, path }, by);
  return { ...done, updated: refs };
}

async function update(
  core: Core,
  repo: Repository,
  { folder, url, theirs, ...pull }: PublicPull & Staged,
): Promise<PublicPulled> {
  const { git, repos } = core;
  const { principal, by, signal, progress } = pull;
  const directory = repos.directory(repo);
  const mine = await visibleRefs(directory);
  const none = { repo: repo.fullName, updated: 0, conflicted: 0, bytes: 0, notes: [] };
  if ([...theirs].every(([ref, oid]) => mine.get(ref) === oid)) {
    return { ...none, result: 'up-to-date' };
  }
  // What is here already is neither asked for nor sent.
  await writeFile(join(folder, 'packed-refs'), refLines(mine).join(''));
  await writeFile(join(folder, 'objects/info/alternates'), `${join(directory, 'objects')}\n`);
  const refspecs = kinds.map((kind) => `+refs/${kind}/*:refs/theirs/${kind}/*`);
  const limitBytes = core.config.values['limits.pack_size'];
  await fetchNeighbor(git, folder, { url, refspecs, limitBytes, signal, progress });
  const scratch = join(folder, 'objects');
  const fetched = await fetchedRefs(folder);
  const planned = await plan(core, { directory, scratch, mine, theirs: fetched, signal });
  const { commands, notes } = planned;
  const change = { repo, principal, by, signal, commands, action: 'neighbors sync' };
  const results =
    commands.length === 0 ? [] : await changeRefs(core, { ...change, quarantine: scratch });
  const refused = results.flatMap(({ command, refused: why }) =>
    why === undefined ? [] : [`${shortRef(command.ref)}: ${why}`],
  );
  const updated = results.length - refused.length;
  if (updated > 0) core.sizes.changed(repo, directory);
  const conflicted = notes.length;
  const result = conflicted > 0 ? 'conflict' : updated > 0 ? 'updated' : 'up-to-date';
  const bytes = await sizeOfTree(scratch);
  return { repo: repo.fullName, result, updated, conflicted, bytes, notes: [...notes, ...refused] };
}

/** What really came, which need not be what was advertised. */
async function fetchedRefs(folder: string): Promise<RefList> {
  const refs = await allRefs(folder);
  return new Map(
    refs.flatMap(({ name, oid }) => {
      const ref = name.replace(/^refs\/theirs\//, 'refs/');
      return ref !== name && isWritableRef(ref) && refFault(ref) === undefined ? [[ref, oid]] : [];
    }),
  );
}

interface Sides {
  readonly directory: string;
  /** The object directory with what is new. */
  readonly scratch: string;
  readonly mine: RefList;
  readonly theirs: RefList;
  readonly signal: AbortSignal;
}

/** Forward alone: what moved on both sides, and what was deleted or forced over there, stays as it is here. */
async function plan(
  { git }: Core,
  { directory, scratch, mine, theirs, signal }: Sides,
): Promise<{ commands: readonly RefCommand[]; notes: readonly string[] }> {
  const commands: RefCommand[] = [];
  const notes: string[] = [];
  for (const [ref, oid] of theirs) {
    const own = mine.get(ref);
    if (own === oid) continue;
    const relation =
      own === undefined
        ? 'ahead'
        : await relationOf(git, directory, { mine: own, theirs: oid, scratch });
    if (relation === 'ahead') commands.push({ ref, old: own ?? nullOid, new: oid });
    else if (relation === 'apart') notes.push(`${shortRef(ref)}: it moved apart, and stays here`);
  }
  const tips = [...new Set(commands.map((each) => each.new))];
  if (tips.length > 0) {
    await checkConnected(git, directory, { tips, scratch, signal }).catch((cause) => {
      signal.throwIfAborted();
      throw new UserError('corrupt', 'objects lack of what was sent; nothing was changed', {
        cause,
      });
    });
  }
  return { commands, notes };
}
