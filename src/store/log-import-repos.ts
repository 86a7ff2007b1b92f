import { sql } from 'kysely';
import { nullOid } from '../model/ref.ts';
import type { SignedHead } from './audit-heads.ts';
import type { HistoryBody, UpdateBody } from './change-entries.ts';
import { inBatches } from './changes.ts';
import type { GrantBody, RepoBody, RulesBody } from './log-bodies.ts';
import type { Import } from './log-import.ts';
import { isForeign, localIds, localRepo, wish } from './log-import-ids.ts';
import { dropRules } from './rules.ts';

/**
 * A repository as the main has it. What its row alone says is taken at once, its visibility before all; where it lies,
 * and whether it is there, is done on the disk afterwards.
 */
export async function takeRepo(
  into: Import,
  id: string,
  { body, text }: { readonly body: RepoBody | undefined; readonly text: string },
): Promise<void> {
  const localId = await localRepo(into, id);
  if (await isForeign(into, localId)) return;
  await wish(into, 'repo', { subject: `repo:${id}`, body: body === undefined ? null : text });
  if (body === undefined) return;
  const { w } = into;
  const { description, visibility, archived } = body;
  const { numUpdatedRows } = await w.trx
    .updateTable('repository')
    .set({ description, visibility, archived })
    .where('id', '=', localId)
    .executeTakeFirst();
  if (numUpdatedRows === 0n) return;
  await takePaths(into, localId, body);
  const detail = { description, visibility, archived: archived === 1 };
  await w.log({ type: 'repo-set', repoId: localId, detail });
}

/** Old names and aliases, as far as they lead nowhere else here. */
export async function takePaths(
  into: Pick<Import, 'w' | 'server'>,
  repoId: string,
  { redirects, aliases }: RepoBody,
): Promise<void> {
  const { trx } = into.w;
  const local = await localIds(
    into,
    redirects.map(([namespace]) => namespace),
  );
  await trx.deleteFrom('redirect').where('repo_id', '=', repoId).execute();
  for (const [namespace, name] of redirects) {
    await trx
      .insertInto('redirect')
      .values({ namespace_id: local(namespace), name, repo_id: repoId })
      .onConflict((on) => on.columns(['namespace_id', 'name']).doNothing())
      .execute();
  }
  await trx.deleteFrom('alias').where('repo_id', '=', repoId).execute();
  for (const [path, added_by, added_at] of aliases) {
    await trx
      .insertInto('alias')
      .values({ path, repo_id: repoId, added_by, added_at })
      .onConflict((on) => on.column('path').doNothing())
      .execute();
  }
}

/** What grants and rules stand on: a repository, or an org, of the server's. */
async function placeOf(into: Import, id: string): Promise<string | undefined> {
  const local = (await localIds(into, [id]))(id);
  if (local !== id) return local;
  const repo = await localRepo(into, id);
  return (await isForeign(into, repo)) ? undefined : repo;
}

/** All grants on a repository or an org; what servers were granted here stays. */
export async function takeGrants(
  into: Import,
  id: string,
  grants: readonly GrantBody[],
): Promise<void> {
  const on_id = await placeOf(into, id);
  if (on_id === undefined) return;
  const { trx } = into.w;
  const local = await localIds(
    into,
    grants.map(({ who_id }) => who_id),
  );
  await trx
    .deleteFrom('access_grant')
    .where('on_id', '=', on_id)
    .where('who_kind', '<>', 'server')
    .execute();
  for (const { granted_by_key, ...grant } of grants) {
    const key =
      granted_by_key === null
        ? undefined
        : await trx
            .selectFrom('ssh_key')
            .select('id')
            .where('id', '=', granted_by_key)
            .executeTakeFirst();
    await trx
      .insertInto('access_grant')
      .values({ ...grant, on_id, who_id: local(grant.who_id), granted_by_key: key?.id ?? null })
      .onConflict((on) => on.doNothing())
      .execute();
  }
  const place = grants[0]?.on_kind === 'org' ? { subjectId: on_id } : { repoId: on_id };
  await into.w.log({ type: 'access-set', ...place, detail: { grants: grants.length } });
}

/** All rules of a repository or an org. */
export async function takeRules(
  into: Import,
  id: string,
  body: RulesBody | undefined,
): Promise<void> {
  const on_id = await placeOf(into, id);
  if (on_id === undefined) return;
  const { w } = into;
  await dropRules(w, on_id);
  if (body === undefined) return;
  await w.trx.insertInto('ref_rule_count').values({ on_id, given: body.given }).execute();
  const local = await localIds(
    into,
    body.rules.flatMap(({ allow }) => allow.map(([, who]) => who)),
  );
  for (const { allow, ...rule } of body.rules) {
    await w.trx
      .insertInto('ref_rule')
      .values({ ...rule, on_id })
      .execute();
    for (const [who_kind, who] of allow) {
      await w.trx
        .insertInto('ref_rule_allow')
        .values({ on_id, number: rule.number, who_kind, who_id: local(who) })
        .onConflict((on) => on.doNothing())
        .execute();
    }
  }
  const place = body.rules[0]?.on_kind === 'org' ? { subjectId: on_id } : { repoId: on_id };
  await w.log({ type: 'rules-set', ...place, detail: { rules: body.rules.length } });
}

/** More of a repository's history, and the values that it set aside: they are wanted here too. */
export async function takeHistory(
  into: Import,
  id: string,
  body: HistoryBody | undefined,
): Promise<void> {
  const repoId = await localRepo(into, id);
  if (body === undefined || (await isForeign(into, repoId))) return;
  const { trx } = into.w;
  if (body.first) await dropOwnWords(into, repoId);
  const had = await knownUpdates(into, repoId, body.updates);
  const news = body.updates.filter((update) => !had.has(nameOf(update)));
  await bringBack(into, repoId, body.updates);
  await inBatches(news, (batch) =>
    trx
      .insertInto('ref_update')
      .values(batch.map(({ n: _, ...update }) => ({ repo_id: repoId, ...update })))
      .execute(),
  );
  const aside = news.filter(
    ({ forced, old_oid, new_oid }) => old_oid !== nullOid && (forced === 1 || new_oid === nullOid),
  );
  if (aside.length === 0) return;
  await inBatches(aside, (batch) =>
    trx
      .insertInto('archived_tip')
      .values(
        batch.map(({ old_oid: oid, ref, at }) => ({ repo_id: repoId, oid, ref, archived_at: at })),
      )
      .onConflict((on) => on.columns(['repo_id', 'oid']).doNothing())
      .execute(),
  );
  await wishObjects(
    into,
    id,
    aside.map(({ old_oid }) => old_oid),
  );
}

/** What the mirror wrote of the same moves, before it was told of them. */
async function dropOwnWords({ w, server }: Import, repoId: string): Promise<void> {
  await w.trx
    .deleteFrom('ref_update')
    .where('repo_id', '=', repoId)
    .where('action', '=', 'sync')
    .where('principal', '=', `server:${server.name}`)
    .execute();
}

/** What happened under an earlier lead of this server is the new leader's history too, as far as it tells of it. */
async function bringBack(
  { w: { trx } }: Import,
  repoId: string,
  updates: readonly UpdateBody[],
): Promise<void> {
  const requests = new Set(updates.map(({ request }) => request));
  await trx
    .updateTable('ref_update')
    .set({ aside: 0 })
    .where('repo_id', '=', repoId)
    .where('aside', '=', sql.lit(1))
    .where('request', 'in', [...requests])
    .execute();
}

function nameOf({
  request,
  ref,
  old_oid,
  new_oid,
}: Pick<UpdateBody, 'request' | 'ref' | 'old_oid' | 'new_oid'>): string {
  return `${request} ${ref} ${old_oid} ${new_oid}`;
}

/** A log that is told once more, or that leads back to where it came from, tells of what is known. */
async function knownUpdates(
  { w: { trx } }: Import,
  repoId: string,
  updates: readonly UpdateBody[],
): Promise<ReadonlySet<string>> {
  const requests = [...new Set(updates.map(({ request }) => request))];
  const rows = await trx
    .selectFrom('ref_update')
    .select(['request', 'ref', 'old_oid', 'new_oid'])
    .where('request', 'in', requests)
    .where('repo_id', '=', repoId)
    .execute();
  return new Set(rows.map(nameOf));
}

async function wishObjects(into: Import, id: string, oids: readonly string[]): Promise<void> {
  const subject = `objects:${id}`;
  const waiting = await into.w.trx
    .selectFrom('followed_wish')
    .select('body')
    .where('server_id', '=', into.server.id)
    .where('subject', '=', subject)
    .where('rank', '=', sql.lit(8))
    .executeTakeFirst();
  const all = new Set<string>([...JSON.parse(waiting?.body ?? '[]'), ...oids]);
  await wish(into, 'objects', { subject, body: JSON.stringify([...all]) });
}

/** An owner had objects removed for good: they go here too, as far as they are here. */
export async function takePurge(
  into: Import,
  { repoId, oid }: { readonly repoId: string; readonly oid: string },
  text: string,
): Promise<void> {
  await wish(into, 'purge', { subject: `purge:${repoId}:${oid}`, body: text });
}

/** The head of the main's audit record: kept here, it shows whether the record there is cut later (S28). */
export async function takeAudit(
  { w, server }: Import,
  body: SignedHead | undefined,
): Promise<void> {
  if (body === undefined) return;
  const { seq, hash, at, signature } = body;
  await w.trx
    .insertInto('followed_audit_head')
    .values({ server_id: server.id, seq, hash, at, signature })
    .onConflict((on) => on.columns(['server_id', 'seq']).doNothing())
    .execute();
}
