import { UserError } from '../../model/errors.ts';
import { parseRepoPath } from '../../model/repo.ts';
import { refsDigest } from '../../model/sync-refs.ts';
import type { Repository } from '../../store/repositories.ts';
import type { Core } from '../core.ts';
import { isGranted } from '../peer-access.ts';
import { admit } from './admit.ts';
import { carry } from './carry.ts';
import { agreeOnAll } from './conflicts.ts';
import { pairs } from './desk.ts';
import type { Answers, Questions, RepoFacts } from './protocol.ts';
import type { Remote } from './remote.ts';
import {
  actorFor,
  asPeer,
  counted,
  type Outcome,
  quiet,
  type RunOptions,
  type RunReport,
} from './run.ts';
import { visibleRefs } from './snapshot.ts';

export interface PullOptions extends RunOptions {
  /** Only these refs. */
  readonly only?: ReadonlySet<string>;
  /** Whether this run made the repository. */
  readonly created?: boolean;
}

/** Fetches a repository from another server (replication.md, section 2, Pull): it writes nothing here but session files. */
export async function pullRepo(
  core: Core,
  remote: Remote,
  { repo, ...options }: { repo: Repository } & PullOptions,
): Promise<RunReport> {
  const about = { remote, repo, direction: 'in', by: options.by } as const;
  return counted(core, about, () => fetchRepo(core, remote, { repo, ...options }));
}

async function fetchRepo(
  core: Core,
  remote: Remote,
  { repo, ...options }: { repo: Repository } & PullOptions,
): Promise<Outcome> {
  const { store, repos } = core;
  const { server } = remote;
  const pair = { serverId: server.id, repoId: repo.id };
  const refs = await visibleRefs(repos.directory(repo));
  const base = await store.syncs.base(pair);
  const link = await store.serverLinks.of(server.id, repo.id);
  const shared = link !== undefined || (await isGranted(store, server, repo, 'write'));
  if (!shared && options.only === undefined) {
    throw new UserError('denied', `${repo.fullName}: it is not linked with ${server.name}`, {
      hint: `link the two, which need not be the same: servers link ${server.name} ${repo.fullName}`,
    });
  }
  const question: Questions['snapshot'] = {
    id: repo.id,
    name: repo.fullName,
    digest: refsDigest(refs),
    // A part of the refs may be wanted although all of them are known.
    known: options.only === undefined ? (base?.digest ?? null) : null,
    have: null,
  };
  const first = await remote.ask('snapshot', question);
  const answer =
    first.state === 'have'
      ? await remote.ask('snapshot', { ...question, have: pairs(refs) })
      : first;
  if (!options.by.dryRun && link !== undefined && link.remoteId !== answer.repo.id) {
    await store.serverLinks.link(server, repo, { remoteId: answer.repo.id }, options.by);
  }
  if (answer.state === 'equal') await agreeOnAll(core, { server, repo, by: options.by }, refs);
  const done = options.created === true ? 'created' : 'up-to-date';
  if (answer.state !== 'sent') return { ...quiet, result: done };
  return take(core, remote, { repo, ...options }, answer);
}

async function take(
  core: Core,
  remote: Remote,
  { repo, ...options }: { repo: Repository } & PullOptions,
  answer: Extract<Answers['snapshot'], { state: 'sent' }>,
): Promise<Outcome> {
  const { server } = remote;
  const { syncSessions, repos } = core;
  const session = await syncSessions.open(server.id, repo.id, 'in');
  try {
    const { token, bytes: total } = answer;
    const files = { directory: session.directory, token, direction: 'pull', total } as const;
    const carried = await carry(core, remote, { ...files, ...options });
    const { held, outcomes, refs } = await admit(core, {
      ...{ server, repo, principal: asPeer(server), folder: session.directory },
      by: actorFor(server, options.by, session.token),
      decided: new Map(),
      only: options.only,
      allowShrink: options.allowShrink,
      signal: options.signal,
    });
    await remote.ask('done', { token: answer.token, digest: refsDigest(refs) });
    await syncSessions.close(session);
    if (held) return { ...quiet, result: 'held', total, carried };
    const count = (wanted: string) => outcomes.filter(({ outcome }) => outcome === wanted).length;
    const numbers = { updated: count('applied'), conflicted: count('conflict') };
    if (numbers.updated > 0) core.sizes.changed(repo, repos.directory(repo));
    const did = numbers.updated > 0 ? 'updated' : 'up-to-date';
    const result = numbers.conflicted > 0 ? 'conflict' : options.created === true ? 'created' : did;
    const notes = outcomes.flatMap(({ ref, why }) => (why === undefined ? [] : [`${ref}: ${why}`]));
    return { result, ...numbers, total, carried, notes };
  } finally {
    await syncSessions.leave(session);
  }
}

/**
 * Makes the repository that is pulled for the first time. The operator or a site admin asked for it by its name, which
 * is the approval of this side.
 *
 * @throws UserError `not_found` where neither side has it
 */
export async function receiverOf(
  core: Core,
  remote: Remote,
  { name, by }: { name: string; by: RunOptions['by'] },
): Promise<{ repo: Repository; created: boolean }> {
  const { store, repos } = core;
  // Without a word of what is here, the other side only tells of the repository.
  const question = { id: null, name, digest: null, known: null, have: null };
  const { repo: facts } = await remote.ask('snapshot', question);
  const namespace = await namespaceFor(core, remote, { facts, by });
  const { name: bare } = parseRepoPath(facts.name);
  const held = await store.repositories.byName(namespace.ownerId, bare);
  if (held !== undefined) return { repo: held, created: false };
  if (by.dryRun) throw new UserError('usage', `${facts.name} would be created`);
  const { description, visibility, defaultBranch } = facts;
  const wanted = { namespace, name: bare, description, visibility, defaultBranch };
  const taken = await store.repositories.byId(facts.id);
  const id = await repos.create(taken === undefined ? { ...wanted, id: facts.id } : wanted, by);
  const bornThere = remote.server.role === 'main';
  const about = { id, fullName: facts.name };
  await store.serverLinks.link(remote.server, about, { remoteId: facts.id, bornThere }, by);
  const repo = await store.repositories.byId(id);
  if (repo === undefined) throw new Error('a repository was created and is not there');
  return { repo, created: true };
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
