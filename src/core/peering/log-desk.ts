import { UserError } from '../../model/errors.ts';
import { readRefsOf } from '../../programs/refs.ts';
import { archivePrefix } from '../../programs/tips.ts';
import type { Actor } from '../../store/changes.ts';
import type { Server } from '../../store/servers.ts';
import type { Core } from '../core.ts';
import type { LogAnswers, LogQuestions } from './log-protocol.ts';
import { pageOf, publish, signKeyOf } from './log-publish.ts';
import { realize } from './log-realize.ts';
import { importActor, takeStretch } from './log-take.ts';
import type { SyncSession } from './sessions.ts';
import { manifestBytes, writeSnapshot } from './snapshot.ts';

interface Asked {
  readonly core: Core;
  readonly server: Server;
  readonly by: Actor;
  readonly signal: AbortSignal;
  /** Has a session ended with the conversation. */
  keep(session: SyncSession): void;
}

/** Oids that one question may name. */
const mostOids = 100_000;

/** Answers another server's questions about change logs. @throws UserError that it is told */
export async function answerLog(
  asked: Asked,
  question: { readonly verb: unknown } & Record<string, unknown>,
): Promise<LogAnswers[keyof LogAnswers]> {
  const said = question as unknown as LogQuestions[keyof LogQuestions];
  switch (question.verb) {
    case 'log':
      return tell(asked, said as LogQuestions['log']);
    case 'log-at':
      return at(asked);
    case 'log-take':
      return take(asked, said as LogQuestions['log-take']);
    case 'objects':
      return objects(asked, said as LogQuestions['objects']);
    default:
      throw new UserError('usage', 'this question is not in this version');
  }
}

async function tell({ core, server }: Asked, { after }: LogQuestions['log']) {
  if (server.role !== 'backup') throw onlyBackups(server);
  const head = await publish(core);
  const same = after?.origin === head.origin && after.epoch === head.epoch;
  if (same) await core.store.entries.read(server.id, Number(after.seq));
  const entries = await pageOf(core, same ? Number(after.seq) : 0);
  return { head, signKey: await signKeyOf(core), entries };
}

async function at({ core, server }: Asked): Promise<LogAnswers['log-at']> {
  const found = await core.store.following.of(server.id);
  if (found === undefined || found.error !== undefined || server.role !== 'main') {
    return { position: null };
  }
  const { origin, term, epoch, seq, hash } = found;
  return { position: { origin, term, epoch, seq, hash } };
}

async function take(
  { core, server, by }: Asked,
  { head, entries }: LogQuestions['log-take'],
): Promise<LogAnswers['log-take']> {
  const actor = importActor(server, by);
  const position = await takeStretch(core, server, { head, entries, by: actor });
  // Repositories that go wait for who looks; the rest is done by the time it is answered.
  if (position.seq >= head.seq) await realize(core, server, { by: actor, allowShrink: false });
  return { position };
}

/** Objects that were set aside, to a backup alone: nobody else may know of them. */
async function objects(
  { core, server, signal, keep }: Asked,
  { id, oids, have }: LogQuestions['objects'],
): Promise<LogAnswers['objects']> {
  if (server.role !== 'backup') throw onlyBackups(server);
  const repo = await core.store.repositories.byId(String(id));
  if (repo === undefined) throw new UserError('not_found', 'it is gone');
  const wanted = oids.slice(0, mostOids).filter((oid) => /^[0-9a-f]{40}$/.test(oid));
  const release = await core.repos.hold(repo, signal);
  try {
    const directory = core.repos.directory(repo);
    const kept = await readRefsOf(
      directory,
      wanted.map((oid) => `${archivePrefix}${oid}`),
    );
    const held = [...kept.values()].flatMap(({ oid }) => oid ?? []);
    // Under a name that lists may have; what they are called there is for the asker to say.
    const refs = new Map(held.map((oid) => [`refs/tags/${oid}`, oid]));
    if (refs.size === 0) return { token: null, bytes: 0, oids: [] };
    const session = await core.syncSessions.open({
      ...{ serverId: server.id, repoId: repo.id, direction: 'out' },
    });
    keep(session);
    const manifest = await writeSnapshot(core.git, directory, {
      refs,
      theirs: new Map(have),
      births: new Map(),
      deleted: new Map(),
      from: undefined,
      folder: session.directory,
      signal,
    });
    return { token: session.token, bytes: manifestBytes(manifest), oids: [...refs.values()] };
  } finally {
    release();
  }
}

/** The question of a server that is no backup. */
function onlyBackups({ name }: Server): UserError {
  return new UserError('denied', `${name} is no backup here: the change log is not for it`, {
    hint: `a site admin of this side decides: servers set ${name} --role backup`,
  });
}
