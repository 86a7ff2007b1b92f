import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Core } from '../core/core.ts';
import { slackBytes } from '../core/peering/sessions.ts';
import { visibleRefs } from '../core/peering/snapshot.ts';
import { admitUpload, createUpload } from '../core/rsync/admit.ts';
import { notTaken } from '../core/rsync/upload.ts';
import { UserError } from '../model/errors.ts';
import type { Principal } from '../model/principal.ts';
import type { RefCommand } from '../model/ref.ts';
import type { Stdio } from '../model/stdio.ts';
import type { RefList } from '../model/sync-refs.ts';
import { leftOut, type PlainRsync, startPlainRsync } from '../programs/rsync-plain.ts';
import { guardSize } from '../programs/size.ts';
import type { Actor } from '../store/changes.ts';
import type { Namespace } from '../store/names.ts';
import type { Repository } from '../store/repositories.ts';
import { endReason } from './client.ts';
import { passStreams, statusOf } from './pass.ts';
import { confinable } from './rsync.ts';

/** What a talk with somebody's own rsync may touch. */
export interface RsyncTalk {
  readonly core: Core;
  readonly request: PlainRsync;
  readonly stdio: Stdio;
  readonly signal: AbortSignal;
}

/** What a talk came to. */
export interface RsyncEnd {
  readonly status: number;
  readonly done: readonly RefCommand[];
  readonly repoId?: string | undefined;
}

/**
 * Sends a repository as it is at this moment, out of a folder of its own that no other run sees. The caller holds the
 * repository.
 */
export async function sendByRsync(talk: RsyncTalk, repo: Repository): Promise<number> {
  const { core, request, signal } = talk;
  return withFolder(core, async (folder) => {
    // One at a time makes what is kept; it is theirs to read then.
    const release = await core.repos.holdRefs(repo.id, ['rsync'], signal);
    try {
      const directory = core.repos.directory(repo);
      const refs = await visibleRefs(directory);
      await core.kept.layOut({ repo, directory, refs, signal }, join(folder, request.name));
    } finally {
      release();
    }
    return pass(talk, folder);
  });
}

/** Who sends, and what it is to become. */
export interface Receiving {
  readonly principal: Principal;
  readonly by: Actor;
  /** The repository; the namespace and name of one that is yet to be made. */
  readonly to:
    | { readonly repo: Repository }
    | { readonly repo?: undefined; readonly namespace: Namespace; readonly name: string };
}

/** Takes a repository in: into a folder of its own first, then as a push. @throws UserError when it is not admitted */
export async function receiveByRsync(
  talk: RsyncTalk,
  { principal, by, to }: Receiving,
): Promise<RsyncEnd> {
  const { core, request, signal } = talk;
  const before: RefList =
    to.repo === undefined ? new Map() : await visibleRefs(core.repos.directory(to.repo));
  await core.room.onDisk();
  const owner = to.repo ?? { namespaceId: to.namespace.ownerId, namespace: to.namespace.name };
  await core.room.inNamespace({ id: owner.namespaceId, name: owner.namespace });
  return withFolder(core, async (folder) => {
    const inside = join(folder, request.name);
    await mkdir(inside, { mode: 0o700 });
    const status = await pass(talk, folder, 2 * (await core.room.forPack()) + slackBytes);
    if (status !== 0 || request.dryRun) return { status, done: [] };
    const skipped = await leftOut(logOf(folder));
    if (skipped !== undefined) throw notTaken(`"${skipped}" is no plain file`);
    const arrived = { folder: inside, principal, by, signal };
    if (to.repo === undefined) {
      const { id, commands } = await createUpload(core, arrived, to);
      return { status: 0, done: commands, repoId: id };
    }
    const { repo } = to;
    const done = await admitUpload(core, arrived, { repo, before, deletes: request.deletes });
    return { status: 0, done, repoId: repo.id };
  });
}

function logOf(folder: string): string {
  return `${folder}.log`;
}

async function withFolder<T>(core: Core, work: (folder: string) => Promise<T>): Promise<T> {
  const folder = join(core.config.dataDir, 'incoming', `rsync-${randomUUID()}`);
  await mkdir(folder, { mode: 0o700 });
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
    await rm(logOf(folder), { force: true });
  }
}

/** @param limitBytes - more must not come in */
async function pass(
  { core, request, stdio, signal }: RsyncTalk,
  folder: string,
  limitBytes = Number.POSITIVE_INFINITY,
): Promise<number> {
  const version = await core.rsync.version();
  if (version === undefined) throw new UserError('unavailable', 'there is no rsync here');
  if (signal.aborted) throw endReason(signal);
  const confine = Number.parseFloat(version) >= confinable;
  const place = { folder, log: logOf(folder), confine, houseId: core.store.houseId };
  const child = startPlainRsync(request, place);
  let over = false;
  const reserveBytes = request.sender ? 0 : core.room.limits.diskReserveBytes;
  const release = guardSize({ directory: folder, limitBytes, reserveBytes }, () => {
    over = true;
    child.end();
  });
  try {
    const exit = await passStreams(child, { stdio, signal, directory: folder });
    if (!over) return statusOf(exit);
    throw new UserError('unavailable', 'what is sent is bigger than there is room for');
  } finally {
    release();
  }
}
