import { UserError } from '../../model/errors.ts';
import type { ServerPrincipal } from '../../model/principal.ts';
import { parseRepoPath } from '../../model/repo.ts';
import { type RefList, refsDigest } from '../../model/sync-refs.ts';
import { rsyncVersion } from '../../programs/rsync.ts';
import type { Actor } from '../../store/changes.ts';
import type { Repository } from '../../store/repositories.ts';
import type { Server } from '../../store/servers.ts';
import type { Core } from '../core.ts';
import { measureSpace } from '../space.ts';
import { admit } from './admit.ts';
import { agreeOnAll } from './conflicts.ts';
import { answerLog } from './log-desk.ts';
import { deletedSince, namespaceForMirror } from './mirror.ts';
import type { Answers, Questions, RefPair, RepoFacts } from './protocol.ts';
import type { SyncSession } from './sessions.ts';
import { manifestBytes, visibleRefs, writeSnapshot } from './snapshot.ts';

interface Parts {
  readonly core: Core;
  readonly principal: ServerPrincipal;
  readonly by: Actor;
  readonly signal: AbortSignal;
}

/** What a run that the other side began is about. */
interface Run {
  readonly session: SyncSession;
  readonly startedAt: string;
  readonly created: boolean;
  /** The refs that were sent along with a snapshot. */
  readonly sent?: RefList;
}

/** Answers another server's questions. Each is decided anew: its key, its role, its link (S2). */
export class PeerDesk {
  /** The ids of repositories that it changed. */
  readonly changed: { repo: string; refs: number }[] = [];
  readonly #parts: Parts;
  readonly #runs = new Map<string, Run>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** @throws UserError that the other server is told */
  async answer(question: { readonly verb: unknown } & Record<string, unknown>): Promise<unknown> {
    const { core, principal } = this.#parts;
    await core.access.authorize(principal, { need: 'peer' });
    const asked = question as unknown as Questions[keyof Questions];
    switch (question.verb) {
      case 'caps':
        return this.#caps();
      case 'offer':
        return this.#offer(asked as Questions['offer']);
      case 'commit':
        return this.#commit(asked as Questions['commit']);
      case 'snapshot':
        return this.#snapshot(asked as Questions['snapshot']);
      case 'done':
        return this.#done(asked as Questions['done']);
      default:
        return answerLog(
          { ...this.#parts, server: await this.#server(), keep: this.#keep },
          question,
        );
    }
  }

  /** Ends what the other side left open; what arrived of it is kept for its next run. */
  async close(): Promise<void> {
    for (const { session } of this.#runs.values())
      await this.#parts.core.syncSessions.leave(session);
  }

  readonly #keep = (session: SyncSession) => {
    const startedAt = new Date().toISOString();
    this.#runs.set(session.token, { session, startedAt, created: false });
  };

  async #server(): Promise<Server> {
    const server = await this.#parts.core.store.servers.byId(this.#parts.principal.id);
    if (server === undefined)
      throw new UserError('denied', 'you are no server known here any more');
    return server;
  }

  async #caps(): Promise<Answers['caps']> {
    const { core } = this.#parts;
    return {
      protocol: 1,
      houseId: core.store.houseId,
      git: core.git.version,
      rsync: (await rsyncVersion()) ?? null,
      freeBytes: (await measureSpace(core.config)).freeBytes,
      at: new Date().toISOString(),
    };
  }

  async #offer(asked: Questions['offer']): Promise<Answers['offer']> {
    const { core, principal } = this.#parts;
    const server = await this.#server();
    const found = await this.#receiver(server, asked.repo);
    await core.room.onDisk();
    const repo = found ?? (asked.dryRun ? undefined : await this.#create(server, asked.repo));
    if (repo === undefined) {
      return { token: null, created: true, digest: refsDigest(new Map()), refs: [], base: null };
    }
    const path = { namespace: repo.namespace, name: repo.name };
    await core.access.authorize(principal, { need: 'repo', path, right: 'write' });
    const refs = await visibleRefs(core.repos.directory(repo));
    const digest = refsDigest(refs);
    const pair = { serverId: server.id, repoId: repo.id };
    const base = await core.store.syncs.base(pair);
    const equal = digest === asked.digest;
    const by = { ...this.#parts.by, dryRun: asked.dryRun };
    if (equal) await agreeOnAll(core, { server, repo, by }, refs);
    const created = found === undefined;
    const shown = digest === asked.known || equal ? null : pairs(refs);
    const about = { created, digest, refs: shown, base: base?.digest ?? null };
    if (equal) return { token: null, ...about };
    const session = await core.syncSessions.open(server.id, repo.id, 'in');
    const startedAt = new Date().toISOString();
    this.#runs.set(session.token, { session, startedAt, created });
    return { token: session.token, ...about };
  }

  /** The repository here that an offered one goes to: by its link, else where both admins linked the same name. */
  async #receiver(server: Server, offered: RepoFacts): Promise<Repository | undefined> {
    const { core, by } = this.#parts;
    const { store } = core;
    const linked = await store.serverLinks.byRemote(server.id, String(offered.id));
    if (linked !== undefined) return store.repositories.byId(linked.repoId);
    const path = parseRepoPath(String(offered.name));
    const owner = await store.names.find(path.namespace ?? '');
    const named = owner && (await store.repositories.byName(owner.ownerId, path.name));
    const link = named && (await store.serverLinks.of(server.id, named.id));
    if (named === undefined || link?.remoteId !== undefined) return undefined;
    if (link === undefined) throw notLinked(server, offered.name);
    await store.serverLinks.link(server, named, { remoteId: offered.id }, { ...by, dryRun: false });
    return named;
  }

  /** A main's repository comes here as its mirror; nobody else makes any. */
  async #create(server: Server, offered: RepoFacts): Promise<Repository> {
    const { core, by } = this.#parts;
    if (server.role !== 'main') throw notLinked(server, offered.name);
    const namespace = await namespaceForMirror(core, server, { offered, by });
    const taken = await core.store.repositories.byId(offered.id);
    const { name } = parseRepoPath(offered.name);
    const { description, visibility, defaultBranch } = offered;
    const wanted = { namespace, name, description, visibility, defaultBranch };
    const id = await core.repos.create(
      taken === undefined ? { ...wanted, id: offered.id } : wanted,
      by,
    );
    const about = { id, fullName: offered.name };
    await core.store.serverLinks.link(server, about, { remoteId: offered.id, bornThere: true }, by);
    const repo = await core.store.repositories.byId(id);
    if (repo === undefined) throw new Error('a repository was created and is not there');
    return repo;
  }

  async #commit(asked: Questions['commit']): Promise<Answers['commit']> {
    const { core, principal, by, signal } = this.#parts;
    const server = await this.#server();
    const session = core.syncSessions.find(asked.token, server.id, 'in');
    const run = this.#runs.get(asked.token);
    const repo = await core.store.repositories.byId(session.repoId);
    if (repo === undefined || run === undefined) throw new UserError('not_found', 'it is gone');
    const path = { namespace: repo.namespace, name: repo.name };
    await core.access.authorize(principal, { need: 'repo', path, right: 'write' });
    const bytes = await core.syncSessions.bytes(session);
    const { held, outcomes, refs } = await admit(core, {
      ...{ server, repo, principal, by: { ...by, request: session.token }, signal },
      folder: session.directory,
      decided: new Map(asked.decided),
      allowShrink: false,
    });
    await core.syncSessions.close(session);
    this.#runs.delete(asked.token);
    const applied = outcomes.filter(({ outcome }) => outcome === 'applied').map(({ ref }) => ref);
    const conflicts = outcomes
      .filter(({ outcome }) => outcome === 'conflict')
      .map(({ ref }) => ref);
    const rejected = outcomes
      .filter(({ outcome }) => outcome === 'rejected')
      .map(({ ref, why }): RefPair => [ref, why ?? '']);
    const did = conflicts.length > 0 ? 'conflict' : applied.length > 0 ? 'updated' : 'up-to-date';
    const result = held ? 'held' : run.created ? 'created' : did;
    await core.store.syncs.ended(
      {
        ...{ serverId: server.id, repoId: repo.id, direction: 'in', transport: 'rsync', result },
        refsUpdated: applied.length,
        refsConflicted: conflicts.length,
        ...{ bytesSent: 0, bytesReceived: bytes, bytesTotal: bytes },
        startedAt: run.startedAt,
      },
      server.name,
      by,
    );
    if (applied.length > 0) {
      this.changed.push({ repo: repo.fullName, refs: applied.length });
      core.sizes.changed(repo, core.repos.directory(repo));
    }
    return { held, applied, conflicts, rejected, digest: refsDigest(refs) };
  }

  async #snapshot(asked: Questions['snapshot']): Promise<Answers['snapshot']> {
    const { core, principal, signal } = this.#parts;
    const server = await this.#server();
    const link =
      asked.id === null ? undefined : await core.store.serverLinks.byRemote(server.id, asked.id);
    const linked = link && (await core.store.repositories.byId(link.repoId));
    const path = linked ?? parseRepoPath(String(asked.name));
    const named = { namespace: path.namespace, name: path.name };
    const { repo } = await core.access.authorize(principal, {
      ...{ need: 'repo', path: named, right: 'read' },
    });
    if (repo === undefined) throw new Error('a repository was decided on and is not there');
    const release = await core.repos.hold(repo, signal);
    try {
      const directory = core.repos.directory(repo);
      const refs = await visibleRefs(directory);
      const digest = refsDigest(refs);
      const facts = factsOf(repo);
      if (digest === asked.digest) return { state: 'equal', repo: facts };
      if (digest === asked.known) return { state: 'known', repo: facts };
      const base = await core.store.syncs.base({ serverId: server.id, repoId: repo.id });
      const had = base?.digest === asked.digest ? base?.refs : undefined;
      if (had === undefined && asked.have === null) return { state: 'have', repo: facts };
      const session = await core.syncSessions.open(server.id, repo.id, 'out');
      const startedAt = new Date().toISOString();
      this.#runs.set(session.token, { session, startedAt, created: false, sent: refs });
      const manifest = await writeSnapshot(core.git, directory, {
        refs,
        theirs: had ?? new Map(asked.have),
        deleted: await deletedSince(core.store, repo.id, {
          refs,
          known: had ?? new Map(asked.have),
        }),
        from: base !== undefined && base.digest === asked.known ? base : undefined,
        folder: session.directory,
        signal,
      });
      const bytes = manifestBytes(manifest);
      return { state: 'sent', repo: facts, token: session.token, bytes };
    } finally {
      release();
    }
  }

  async #done({ token, digest }: Questions['done']): Promise<Answers['done']> {
    const { core } = this.#parts;
    const server = await this.#server();
    const session = core.syncSessions.find(token, server.id, 'out');
    const sent = this.#runs.get(token)?.sent;
    await core.syncSessions.close(session);
    this.#runs.delete(token);
    // It says what it holds: as much as it was sent, or something of its own.
    if (sent !== undefined && refsDigest(sent) === digest) {
      await core.store.syncs.agree({ serverId: server.id, repoId: session.repoId }, sent);
    }
    return {};
  }
}

/** What another server is told of a repository. */
export function factsOf(repo: Repository): RepoFacts {
  const { id, fullName: name, description, visibility, defaultBranch } = repo;
  return { id, name, description, visibility, defaultBranch };
}

export function pairs(refs: RefList): RefPair[] {
  return [...refs];
}

function notLinked({ name }: Server, repo: string): UserError {
  return new UserError('denied', `${repo}: it is not linked with ${name} here`, {
    hint: `a site admin of this side links it: servers link ${name} ${repo}`,
  });
}
