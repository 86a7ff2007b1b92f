import { UserError } from '../../model/errors.ts';
import type { ServerPrincipal } from '../../model/principal.ts';
import { parseRepoPath } from '../../model/repo.ts';
import { refsDigest } from '../../model/sync-refs.ts';
import type { Actor } from '../../store/changes.ts';
import type { Repository } from '../../store/repositories.ts';
import type { Server } from '../../store/servers.ts';
import type { Core } from '../core.ts';
import { type Admitted, admit, type RefOutcome } from './admit.ts';
import { admitNew } from './admit-new.ts';
import { ownRsync } from './carry.ts';
import { agreeOnAll } from './conflicts.ts';
import { reviveMirror } from './endings.ts';
import { agreeOnHead, followFacts } from './facts.ts';
import { refuseUnconfirmed } from './lead.ts';
import { answerLog } from './log-desk.ts';
import { markBrought } from './marked.ts';
import { checkFacts, createEmpty, newcomerFor, newsFor, notLinked, receiverFor } from './mirror.ts';
import { unlessOutdated } from './outdated.ts';
import { type Answers, factsOf, type Questions, type RefPair } from './protocol.ts';
import type { SyncSession } from './sessions.ts';
import { manifestBytes, visibleRefs, writeSnapshot } from './snapshot.ts';
import { type TarQuestion, tarAnswer } from './tar.ts';
import { agreeOnSent, type Run } from './their-run.ts';
import { verbs } from './verbs.ts';

interface Parts {
  readonly core: Core;
  readonly principal: ServerPrincipal;
  readonly by: Actor;
  readonly signal: AbortSignal;
}

/** Answers another server's questions. Each is decided anew: its key, its role, its link (S2). */
export class PeerDesk {
  /** The ids of repositories that it changed. */
  readonly changed: { repo: string; refs: number }[] = [];
  readonly #parts: Parts;
  readonly #runs = new Map<string, Run>();
  /** The tokens of runs that tar carries. */
  readonly #tarred = new Set<string>();

  /** Whether a run that the other side began is not at its end. */
  get isBusy(): boolean {
    return this.#runs.size > 0;
  }

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** @throws UserError that the other server is told */
  async answer(question: { readonly verb: unknown } & Record<string, unknown>): Promise<unknown> {
    const { core, principal } = this.#parts;
    await core.access.authorize(principal, { need: 'peer' });
    const asked = question as unknown as Questions[keyof Questions];
    switch (question.verb) {
      case 'offer':
        return this.#offer(asked as Questions['offer']);
      case 'commit':
        return this.#commit(asked as Questions['commit']);
      case 'snapshot':
        return this.#snapshot(asked as Questions['snapshot']);
      case 'put-tar':
      case 'get-tar':
        this.#tarred.add(String(question['token']));
        return tarAnswer(core, await this.#server(), asked as TarQuestion);
      case 'done':
        return this.#done(asked as Questions['done']);
      default: {
        const asked = { ...this.#parts, server: await this.#server() };
        const answer = verbs.get(question.verb);
        if (answer !== undefined) return answer(asked, question);
        return answerLog({ ...asked, keep: this.#keep }, question);
      }
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

  async #offer(asked: Questions['offer']): Promise<Answers['offer']> {
    const { core, principal } = this.#parts;
    const server = await this.#server();
    const facts = checkFacts(asked.repo);
    const by = { ...this.#parts.by, dryRun: asked.dryRun };
    await reviveMirror(core, { server, offered: facts, by });
    const found = await receiverFor(core, server, { offered: facts, by });
    await core.room.onDisk();
    const room = await core.room.forPack();
    if (found === undefined) return this.#offerNew(server, { ...asked, repo: facts }, room);
    const repo = await followFacts(core, { server, repo: found, facts, by });
    await refuseUnconfirmed(core, server);
    const path = { namespace: repo.namespace, name: repo.name };
    await core.access.authorize(principal, { need: 'repo', path, right: 'write' });
    const pair = { serverId: server.id, repoId: repo.id };
    // Before the refs: a list that does not answer what is told here is then known to be outdated.
    const base = await core.store.syncs.base(pair);
    const refs = await visibleRefs(core.repos.directory(repo));
    const digest = refsDigest(refs);
    const told = { facts, before: await core.store.syncPeers.head(pair) };
    const equal = digest === asked.digest;
    if (equal) await agreeOnAll(core, { server, repo, by }, refs);
    if (equal) await agreeOnHead(core, { server, repo, by, ...told });
    const shown = digest === asked.known || equal ? null : [...refs];
    const about = { created: false, digest, refs: shown, base: base?.digest ?? null };
    if (equal || asked.dryRun) return { token: null, ...about };
    const token = await this.#begin(pair, { room, created: false, told, agreed: base?.digest });
    return { token, ...about, room, rsync: (await ownRsync(core)) ?? null };
  }

  /** What is not here yet comes from its main alone, and is made once all of it has arrived. */
  async #offerNew(
    server: Server,
    { repo, digest, dryRun }: Questions['offer'],
    room: number,
  ): Promise<Answers['offer']> {
    const { core, by } = this.#parts;
    if (server.role !== 'main') throw notLinked(server, repo.name);
    const nothing = refsDigest(new Map());
    const about = { token: null, created: true, digest: nothing, refs: [], base: null };
    if (dryRun) return about;
    const newcomer = await newcomerFor(core, server, { offered: repo, by });
    if (digest === nothing) {
      await createEmpty(core, server, { newcomer, by });
      return about;
    }
    const pair = { serverId: server.id, repoId: newcomer.id };
    const token = await this.#begin(pair, { room, created: true, newcomer });
    return { ...about, token, room, rsync: (await ownRsync(core)) ?? null };
  }

  async #begin(
    { serverId, repoId }: { serverId: string; repoId: string },
    { room, ...run }: Pick<Run, 'created' | 'newcomer' | 'told' | 'agreed'> & { room: number },
  ): Promise<string> {
    const wanted = { serverId, repoId, direction: 'in', limitBytes: 2 * room } as const;
    const session = await this.#parts.core.syncSessions.open(wanted);
    this.#runs.set(session.token, { session, startedAt: new Date().toISOString(), ...run });
    return session.token;
  }

  async #commit(asked: Questions['commit']): Promise<Answers['commit']> {
    const { core, by } = this.#parts;
    const server = await this.#server();
    const session = core.syncSessions.find(asked.token, server.id, 'in');
    const run = this.#runs.get(asked.token);
    if (run === undefined) throw new UserError('not_found', 'it is gone');
    const bytes = await core.syncSessions.bytes(session);
    const admitted = await unlessOutdated(this.#admit(server, run, asked));
    if (admitted === undefined) return this.#outdated(session);
    const { repo, held, outcomes } = admitted;
    if (run.told !== undefined) await agreeOnHead(core, { server, repo, by, ...run.told });
    await core.syncSessions.close(session);
    this.#runs.delete(asked.token);
    const transport = this.#tarred.has(asked.token) ? 'tar' : 'rsync';
    const refsThat = (what: RefOutcome['outcome']) =>
      outcomes.filter((each) => each.outcome === what);
    const applied = refsThat('applied').map(({ ref }) => ref);
    const conflicts = refsThat('conflict').map(({ ref }) => ref);
    const rejected = refsThat('rejected').map(({ ref, why }): RefPair => [ref, why ?? '']);
    const did = conflicts.length > 0 ? 'conflict' : applied.length > 0 ? 'updated' : 'up-to-date';
    const result = held ? 'held' : run.created ? 'created' : did;
    await core.store.syncs.ended(
      {
        ...{ serverId: server.id, repoId: repo.id, direction: 'in', transport, result },
        refsUpdated: applied.length,
        refsConflicted: conflicts.length,
        ...{ bytesSent: 0, bytesReceived: bytes, bytesTotal: bytes },
        startedAt: run.startedAt,
      },
      server.name,
      by,
    );
    const key = { serverId: server.id, repoId: repo.id, direction: 'in' } as const;
    await markBrought(core, { ...key, name: repo.fullName, held });
    if (applied.length > 0) {
      this.changed.push({ repo: repo.fullName, refs: applied.length });
      core.sizes.changed(repo, core.repos.directory(repo));
    }
    return { held, outdated: false, applied, conflicts, rejected };
  }

  async #outdated(session: SyncSession): Promise<Answers['commit']> {
    await this.#parts.core.syncSessions.close(session);
    this.#runs.delete(session.token);
    return { held: false, outdated: true, applied: [], conflicts: [], rejected: [] };
  }

  async #admit(
    server: Server,
    { session, newcomer, agreed }: Run,
    asked: Questions['commit'],
  ): Promise<Admitted & { repo: Repository }> {
    const { core, principal, signal } = this.#parts;
    const by = { ...this.#parts.by, request: session.token };
    const about = {
      server,
      principal,
      by,
      folder: session.directory,
      signal,
      toldAt: asked.toldAt,
    };
    if (newcomer !== undefined) {
      if (server.role !== 'main') throw notLinked(server, newcomer.facts.name);
      return admitNew(core, { ...about, ...newcomer });
    }
    const repo = await core.store.repositories.byId(session.repoId);
    if (repo === undefined) throw new UserError('not_found', 'it is gone');
    const path = { namespace: repo.namespace, name: repo.name };
    await core.access.authorize(principal, { need: 'repo', path, right: 'write' });
    const decided = new Map(asked.decided);
    const how = { decided, agreed, allowShrink: false };
    return { repo, ...(await admit(core, { ...about, ...how, repo })) };
  }

  async #snapshot(asked: Questions['snapshot']): Promise<Answers['snapshot']> {
    const { core, principal, signal } = this.#parts;
    const server = await this.#server();
    const link =
      asked.id === null ? undefined : await core.store.serverLinks.byRemote(server.id, asked.id);
    // By its own id it is found whatever it is called now.
    const wanted = link?.repoId ?? (asked.own === null ? undefined : String(asked.own));
    const linked = wanted === undefined ? undefined : await core.store.repositories.byId(wanted);
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
      const theirs = had ?? new Map(asked.have);
      const news = await newsFor(core.store, repo.id, { refs, known: theirs, to: server });
      const wanted = { serverId: server.id, repoId: repo.id, direction: 'out' } as const;
      const session = await core.syncSessions.open(wanted);
      const startedAt = new Date().toISOString();
      const agreed = base?.digest;
      this.#runs.set(session.token, { session, startedAt, created: false, sent: refs, agreed });
      const manifest = await writeSnapshot(core.git, directory, {
        refs,
        digest,
        theirs,
        ...news,
        from: base !== undefined && base.digest === asked.known ? base : undefined,
        folder: session.directory,
        signal,
      });
      const bytes = manifestBytes(manifest);
      const rsync = (await ownRsync(core)) ?? null;
      const { token } = session;
      return { state: 'sent', repo: facts, token, bytes, rsync, toldAt: news.toldAt };
    } finally {
      release();
    }
  }

  async #done(asked: Questions['done']): Promise<Answers['done']> {
    const { token } = asked;
    const { core, by } = this.#parts;
    const server = await this.#server();
    const run = this.#runs.get(token);
    const session = core.syncSessions.find(token, server.id, run?.session.direction ?? 'out');
    await core.syncSessions.close(session);
    this.#runs.delete(token);
    const repo = await core.store.repositories.byId(session.repoId);
    if (repo !== undefined) await agreeOnSent(core, { server, repo, by }, run ?? {}, asked);
    return {};
  }
}
