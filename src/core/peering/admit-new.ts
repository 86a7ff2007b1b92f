import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Principal } from '../../model/principal.ts';
import { nullOid, type RefCommand } from '../../model/ref.ts';
import type { RefList } from '../../model/sync-refs.ts';
import { buildBare } from '../../programs/bare.ts';
import { syncObjects } from '../../programs/objects.ts';
import { checkConnected, indexPack } from '../../programs/pack.ts';
import { writePackedRefs } from '../../programs/packed.ts';
import type { Actor } from '../../store/changes.ts';
import type { Namespace } from '../../store/names.ts';
import type { Repository } from '../../store/repositories.ts';
import type { Server } from '../../store/servers.ts';
import type { ToldAt } from '../../store/syncs.ts';
import type { Core } from '../core.ts';
import type { NewRepo } from '../repos.ts';
import { unborn } from '../rules.ts';
import { type Admitted, type RefOutcome, refusedBy } from './admit.ts';
import { readInbox } from './inbox.ts';
import type { RepoFacts } from './protocol.ts';
import { mirroring } from './run.ts';

/** A repository that another server sends for the first time. */
export interface Newcomer {
  readonly id: string;
  /** As its server tells of it, checked. */
  readonly facts: RepoFacts;
  /** The last part of its name. */
  readonly name: string;
  readonly namespace: Namespace;
}

export interface NewAdmission extends Newcomer {
  readonly server: Server;
  readonly principal: Principal;
  readonly by: Actor;
  /** The session directory. */
  readonly folder: string;
  /** Where the other's log ended when it read its list, as it says. */
  readonly toldAt?: ToldAt | undefined;
  readonly signal: AbortSignal;
}

/**
 * Makes the repository that another server sent: built aside, checked, and moved into its place as a whole, so that
 * nobody ever sees a part of it.
 *
 * @throws UserError `corrupt` when it is not taken, as `Repos.create`; nothing has changed then
 */
export async function admitNew(
  core: Core,
  admission: NewAdmission,
): Promise<Admitted & { readonly repo: Repository }> {
  const { id, facts, name, namespace, folder } = admission;
  const received = await readInbox(folder, undefined);
  const staged = join(core.config.dataDir, 'incoming', `sync-new-${id}-${randomUUID()}`);
  const { description, visibility, defaultBranch } = facts;
  const wanted = { id, namespace, name, description, visibility, defaultBranch, staged };
  try {
    await buildBare(staged, { defaultBranch, repoId: id });
    await fill(core, admission, { ...received, staged });
    const { taken, outcomes } = await judged(core, admission, { refs: received.refs, staged });
    await writeRefs(core, staged, taken);
    await place(core, admission, { wanted, taken });
    const repo = await core.store.repositories.byId(id);
    if (repo === undefined) throw new Error('a repository was created and is not there');
    const pair = { serverId: admission.server.id, repoId: id };
    await core.store.syncs.agree(pair, taken);
    if (admission.toldAt !== undefined) await core.store.syncs.heard(pair, admission.toldAt);
    core.sizes.changed(repo, core.repos.directory(repo));
    return { held: false, outcomes, refs: taken, repo };
  } finally {
    await received.pack?.close();
    await rm(staged, { recursive: true, force: true });
  }
}

async function fill(
  { git, room }: Core,
  { signal }: NewAdmission,
  {
    pack,
    refs,
    staged,
  }: Pick<Awaited<ReturnType<typeof readInbox>>, 'pack' | 'refs'> & {
    staged: string;
  },
): Promise<void> {
  try {
    await room.onDisk();
    if (pack !== undefined) await indexPack(git, staged, { pack, signal });
    const tips = [...new Set(refs.values())];
    if (tips.length > 0) await checkConnected(git, staged, { tips, scratch: undefined, signal });
    await syncObjects(staged);
  } catch (cause) {
    throw refusedBy(cause, signal);
  }
}

/** Leaves out what a rule of the namespace refuses: there is none of the repository's own yet. */
async function judged(
  { rules, scripts }: Core,
  { id, namespace, name, principal, by, signal, server }: NewAdmission,
  { refs, staged }: { refs: RefList; staged: string },
): Promise<{ taken: RefList; outcomes: readonly RefOutcome[] }> {
  const commands = commandsFor(refs);
  const wanted = { repo: { ...unborn(namespace, name), id }, principal, commands };
  const place = { directory: staged, quarantine: undefined, signal };
  // What a main has, its own rules have let pass.
  const refusals =
    server.role === 'main'
      ? commands.map(() => undefined)
      : await rules.judgeObjects(wanted, await rules.judge(wanted), place);
  const kept = commands.filter((_, at) => refusals[at] === undefined);
  const tell = async () => undefined;
  const no = await scripts.refusal(wanted, kept, { by, action: 'sync', place, tell });
  const outcomes = commands.map(({ ref }, at): RefOutcome => {
    const why = refusals[at]?.reason ?? no?.reason;
    return why === undefined ? { ref, outcome: 'applied' } : { ref, outcome: 'rejected', why };
  });
  const applied = outcomes.filter(({ outcome }) => outcome === 'applied');
  return { taken: new Map(applied.map(({ ref }) => [ref, refs.get(ref) ?? ''])), outcomes };
}

function commandsFor(refs: RefList): RefCommand[] {
  return [...refs].map(([ref, oid]) => ({ ref, old: nullOid, new: oid }));
}

async function writeRefs({ git }: Core, staged: string, refs: RefList): Promise<void> {
  if (refs.size === 0) return;
  await writePackedRefs(staged, refs);
  // git adds what tags lead to, which readers would look up again and again.
  const { status, stderr } = await git.run(['pack-refs', '--all'], { cwd: staged });
  if (status !== 0) throw new Error(`git pack-refs ended with ${status}: ${stderr}`);
}

/** Journal, place, history, link, in this order: what a crash leaves is settled by the next start, or by the next run. */
async function place(
  core: Core,
  { id, facts, server, by }: NewAdmission,
  { wanted, taken }: { wanted: NewRepo; taken: RefList },
): Promise<void> {
  const { store, repos } = core;
  const commands = commandsFor(taken);
  await store.pushes.journal(id, 'sync', true, commands, by);
  try {
    await repos.create(wanted, mirroring(server, by));
  } catch (error) {
    await store.pushes.settle(id, 'sync', { done: [], archived: [] }, by);
    throw error;
  }
  await store.pushes.settle(id, 'sync', { done: commands, archived: [] }, by);
  const about = { id, fullName: facts.name };
  const bornThere = server.role === 'main';
  await store.serverLinks.link(server, about, { remoteId: facts.id, bornThere }, by);
}
