import { UserError } from '../../model/errors.ts';
import { parseRepoPath } from '../../model/repo.ts';
import { refsDigest } from '../../model/sync-refs.ts';
import type { Repository } from '../../store/repositories.ts';
import type { Core } from '../core.ts';
import { isGranted } from '../peer-access.ts';
import { type Admitted, admit } from './admit.ts';
import { admitNew } from './admit-new.ts';
import { carry } from './carry.ts';
import { agreeOnAll } from './conflicts.ts';
import { agreeOnHead, followFacts } from './facts.ts';
import { marked } from './marked.ts';
import { checkFacts, createEmpty, namespaceForMirror, newcomerIn } from './mirror.ts';
import { untilCurrent } from './outdated.ts';
import type { Answers, Questions, RepoFacts } from './protocol.ts';
import { readPlace } from './question.ts';
import type { Remote } from './remote.ts';
import {
  actorFor,
  asPeer,
  counted,
  type Outcome,
  quiet,
  type RunOptions,
  type RunReport,
  refuseWrongWay,
} from './run.ts';
import type { SyncSession } from './sessions.ts';
import { visibleRefs } from './snapshot.ts';

export interface PullOptions extends RunOptions {
  /** Only these refs. */
  readonly only?: ReadonlySet<string>;
  /** Whether this run made the repository. */
  readonly created?: boolean;
  /** It is fetched from a server that led before this one. */
  readonly recalled?: boolean;
}

/** Fetches a repository from another server (replication.md, section 2, Pull): it writes nothing here but session files. */
export async function pullRepo(
  core: Core,
  remote: Remote,
  { repo, ...options }: { repo: Repository } & PullOptions,
): Promise<RunReport> {
  const about = { remote, repo, direction: 'in', options } as const;
  const work = () =>
    counted(core, about, () =>
      untilCurrent(options.signal, () => fetchRepo(core, remote, { repo, ...options })),
    );
  // What is in conflict is fetched to be looked at, whichever way it moves.
  if (options.only !== undefined) return work();
  await refuseWrongWay(core, remote, repo, 'out');
  const key = { serverId: remote.server.id, repoId: repo.id, direction: 'in' } as const;
  return marked(core, { ...key, name: repo.fullName, by: options.by }, work);
}

async function fetchRepo(
  core: Core,
  remote: Remote,
  { repo, ...options }: { repo: Repository } & PullOptions,
): Promise<Outcome> {
  const { store, repos } = core;
  const { server } = remote;
  const pair = { serverId: server.id, repoId: repo.id };
  // Before the refs: what another run agrees on in between is to make this one begin again.
  const base = await store.syncs.base(pair);
  const refs = await visibleRefs(repos.directory(repo));
  const head = await store.syncPeers.head(pair);
  const link = await store.serverLinks.of(server.id, repo.id);
  const shared = link !== undefined || (await isGranted(store, server, repo, 'write'));
  if (!shared && options.only === undefined) {
    throw new UserError('denied', `${repo.fullName}: it is not linked with ${server.name}`, {
      hint: `link the two, which need not be the same: servers link ${server.name} ${repo.fullName}`,
    });
  }
  const question: Questions['snapshot'] = {
    id: repo.id,
    own: link?.remoteId ?? null,
    name: repo.fullName,
    digest: refsDigest(refs),
    // A part of the refs may be wanted although all of them are known.
    known: options.only === undefined ? (base?.digest ?? null) : null,
    have: null,
  };
  const first = await remote.ask('snapshot', question);
  const answer =
    first.state === 'have' ? await remote.ask('snapshot', { ...question, have: [...refs] }) : first;
  if (!options.by.dryRun && link !== undefined && link.remoteId !== answer.repo.id) {
    await store.serverLinks.link(server, repo, { remoteId: answer.repo.id }, options.by);
  }
  if (answer.state === 'equal') await agreeOnAll(core, { server, repo, by: options.by }, refs);
  const told = { server, facts: checkFacts(answer.repo), by: options.by };
  const now = options.only === undefined ? await followFacts(core, { repo, ...told }) : repo;
  const done = options.created === true ? 'created' : 'up-to-date';
  const outcome: Outcome =
    answer.state === 'sent'
      ? await take(core, remote, { repo: now, agreed: base?.digest, ...options }, answer)
      : { ...quiet, result: done };
  await agreeOnHead(core, { repo: now, ...told, before: head });
  return outcome;
}

type Sent = Extract<Answers['snapshot'], { state: 'sent' }>;

async function take(
  core: Core,
  remote: Remote,
  { repo, agreed, ...options }: { repo: Repository; agreed: string | undefined } & PullOptions,
  answer: Sent,
): Promise<Outcome> {
  const { server } = remote;
  const to = { repoId: repo.id, answer };
  return receive(core, remote, { ...options, ...to }, async ({ directory, token }) =>
    admit(core, {
      ...{ server, repo, principal: asPeer(server), folder: directory, agreed },
      by: actorFor(server, options.by, token),
      ...{ decided: new Map(), toldAt: readPlace(answer.toldAt) },
      only: options.only,
      allowShrink: options.allowShrink,
      recalled: options.recalled,
      signal: options.signal,
    }),
  );
}

/** Fetches what was sent into a session of its own, has it admitted, and tells the other side. */
async function receive(
  core: Core,
  remote: Remote,
  { repoId, answer, ...options }: PullOptions & { repoId: string; answer: Sent },
  admitted: (session: SyncSession) => Promise<Admitted>,
): Promise<Outcome> {
  const { syncSessions, room, repos, store } = core;
  const { token, bytes: total } = answer;
  await room.forSync(total);
  const wanted = { serverId: remote.server.id, repoId, direction: 'in' } as const;
  const session = await syncSessions.open(wanted);
  try {
    const files = { directory: session.directory, token, direction: 'pull', total } as const;
    const carried = await carry(core, remote, { ...files, theirs: answer.rsync, ...options });
    const { held, outcomes, refs, otherwise } = await admitted(session).catch(async (error) => {
      // What is not taken need not lie there until the connection ends, nor wait here for the next run.
      if (!remote.isOver) await remote.ask('done', { token, digest: '' }).catch(() => {});
      if (error instanceof UserError && error.code === 'corrupt') await syncSessions.close(session);
      throw error;
    });
    await remote.ask('done', { token, digest: refsDigest(refs), otherwise });
    await syncSessions.close(session);
    if (held) {
      const why = `held: much would be deleted or forced, or set back to an older copy; allow it with: servers sync ${remote.server.name} --allow-shrink`;
      return { ...quiet, result: 'held', total, carried, notes: [why] };
    }
    const count = (what: string) => outcomes.filter(({ outcome }) => outcome === what).length;
    const numbers = { updated: count('applied'), conflicted: count('conflict') };
    const repo = await store.repositories.byId(repoId);
    if (numbers.updated > 0 && repo) core.sizes.changed(repo, repos.directory(repo));
    const did = numbers.updated > 0 ? 'updated' : 'up-to-date';
    const result = numbers.conflicted > 0 ? 'conflict' : options.created === true ? 'created' : did;
    const notes = outcomes.flatMap(({ ref, why }) => (why === undefined ? [] : [`${ref}: ${why}`]));
    return { result, ...numbers, total, carried, notes };
  } finally {
    await syncSessions.leave(session);
  }
}

/**
 * Fetches a repository that is not here yet.
 *
 * @param isAsked - the operator or a site admin asked for it by its name, which is the approval of this side; else it
 *   goes nowhere but into a namespace of its main's mirrors
 * @throws UserError `not_found` where the other side has none of that name
 */
export async function pullNew(
  core: Core,
  remote: Remote,
  { name, isAsked, ...options }: { name: string; isAsked: boolean } & RunOptions,
): Promise<RunReport> {
  const { store } = core;
  const { by, signal } = options;
  const { server } = remote;
  const nothing = {
    id: null,
    own: null,
    name,
    digest: refsDigest(new Map()),
    known: null,
    have: null,
  };
  // Without a word of what is here, the other side only tells of the repository.
  const first = await remote.ask('snapshot', { ...nothing, digest: null });
  const facts = checkFacts(first.repo);
  const namespace = isAsked
    ? await namespaceFor(core, remote, { facts, by })
    : await namespaceForMirror(core, server, { offered: facts, by });
  const newcomer = await newcomerIn(core, namespace, facts);
  const held = await store.repositories.byName(namespace.ownerId, newcomer.name);
  if (held !== undefined) return pullRepo(core, remote, { repo: held, ...options });
  if (by.dryRun) throw new UserError('usage', `${facts.name} would be created`);
  const repo = { id: newcomer.id, fullName: `${namespace.name}/${newcomer.name}` };
  return counted(core, { remote, repo, direction: 'in', options }, async () => {
    const answer = await remote.ask('snapshot', { ...nothing, have: [] });
    if (answer.state !== 'sent') {
      await createEmpty(core, server, { newcomer, by });
      return { ...quiet, result: 'created' };
    }
    const to = { repoId: repo.id, answer, created: true };
    return receive(core, remote, { ...options, ...to }, async ({ directory, token }) => {
      const about = { server, principal: asPeer(server), folder: directory, signal };
      const toldAt = readPlace(answer.toldAt);
      return admitNew(core, { ...newcomer, ...about, toldAt, by: actorFor(server, by, token) });
    });
  });
}

async function namespaceFor(
  { store }: Core,
  { server }: Remote,
  { facts, by }: { facts: RepoFacts; by: RunOptions['by'] },
) {
  const { namespace: name = '' } = parseRepoPath(facts.name);
  const held = await store.names.find(name);
  if (held !== undefined) return held;
  if (server.role !== 'main') {
    throw new UserError('not_found', `${name}: no such user or organization`, {
      hint: `create the organization first: org create ${name}`,
    });
  }
  const description = `mirrors of ${server.name}`;
  const id = await store.orgs.add({ name, description, ownerId: undefined }, by);
  await store.serverLinks.noteNamespace(id, server, by);
  const made = await store.names.find(name);
  if (made === undefined) throw new Error('a namespace was made and is not there');
  return made;
}
