import { UserError } from '../../model/errors.ts';
import type { Server } from '../../store/servers.ts';
import type { Asked } from './asked.ts';
import { lacking, takeObjects } from './lacking-desk.ts';
import type { LogAnswers, LogQuestions } from './log-protocol.ts';
import { pageOf, publish, signKeyOf } from './log-publish.ts';
import { realize } from './log-realize.ts';
import { followedOf, importActor, takeStretch } from './log-take.ts';
import { archiveSnapshot } from './send-objects.ts';
import type { SyncSession } from './sessions.ts';

export interface LogAsked extends Omit<Asked, 'principal'> {
  /** Has a session ended with the conversation. */
  keep(session: SyncSession): void;
}

/** Oids that one question may name. */
const mostOids = 100_000;

/** Answers another server's questions about change logs. @throws UserError that it is told */
export async function answerLog(
  asked: LogAsked,
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
    case 'lacking':
      return lacking(asked, said as LogQuestions['lacking']);
    case 'take-objects':
      return takeObjects(asked, said as LogQuestions['take-objects']);
    default:
      throw new UserError('usage', 'this question is not in this version');
  }
}

async function tell({ core, server }: LogAsked, { after }: LogQuestions['log']) {
  if (server.role !== 'backup') throw onlyBackups(server);
  const head = await publish(core);
  const same = after?.origin === head.origin && after.epoch === head.epoch;
  if (same) await core.store.entries.read(server.id, Number(after.seq));
  const entries = await pageOf(core, same ? Number(after.seq) : 0);
  return { head, signKey: await signKeyOf(core), entries };
}

async function at({ core, server }: LogAsked): Promise<LogAnswers['log-at']> {
  const found = await followedOf(core, server);
  if (found === undefined) return { position: null };
  const { origin, term, epoch, seq, hash } = found;
  const waits = await core.store.wishes.any(server.id);
  return { position: { origin, term, epoch, seq, hash }, waits };
}

async function take(
  { core, server, by }: LogAsked,
  { head, entries }: LogQuestions['log-take'],
): Promise<LogAnswers['log-take']> {
  const actor = importActor(server, by);
  const position = await takeStretch(core, server, { head, entries, by: actor });
  // Repositories that go wait for who looks; the rest is done by the time it is answered.
  if (position.seq >= head.seq) await realize(core, server, { by: actor, allowShrink: false });
  return { position, waits: await core.store.wishes.any(server.id) };
}

/** Objects that were set aside, to a backup alone: nobody else may know of them. */
async function objects(
  { core, server, signal, keep }: LogAsked,
  { id, oids, have }: LogQuestions['objects'],
): Promise<LogAnswers['objects']> {
  if (server.role !== 'backup') throw onlyBackups(server);
  const repo = await core.store.repositories.byId(String(id));
  if (repo === undefined) throw new UserError('not_found', 'it is gone');
  const wanted = oids.slice(0, mostOids).filter((oid) => /^[0-9a-f]{40}$/.test(oid));
  const made = await archiveSnapshot(core, server, { repo, oids: wanted, have, signal });
  if (made === undefined) return { token: null, bytes: 0, oids: [] };
  keep(made.session);
  return { token: made.session.token, bytes: made.bytes, oids: made.oids };
}

/** The question of a server that is no backup. */
function onlyBackups({ name }: Server): UserError {
  return new UserError('denied', `${name} is no backup here: the change log is not for it`, {
    hint: `a site admin of this side decides: servers set ${name} --role backup`,
  });
}
