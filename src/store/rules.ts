import { sql } from 'kysely';
import { type RefAct, type Rule, type RuleTerms, type RuleWho, sameTerms } from '../model/rule.ts';
import { type Actor, type Write, write } from './changes.ts';
import type { Database } from './sqlite.ts';

/** Where rules stand. */
export interface RulePlace {
  readonly kind: 'repo' | 'org';
  readonly id: string;
}

/** Ref rules. */
export class RefRules {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /**
   * The rules of places by their ids, an organization's first, each place's in the order of their numbers.
   *
   * @param ids - of repositories and organizations
   */
  async listOn(ids: readonly string[]): Promise<readonly Rule[]> {
    return rulesOn(this.#db, ids);
  }

  /** The ids by which a rule may mean a user: the user's own, those of the orgs and of the teams. */
  async idsOf(userId: string): Promise<ReadonlySet<string>> {
    const rows = await this.#db
      .selectFrom('org_member')
      .select('org_id as id')
      .where('user_id', '=', userId)
      .unionAll(
        this.#db.selectFrom('team_member').select('team_id as id').where('user_id', '=', userId),
      )
      .execute();
    return new Set([userId, ...rows.map(({ id }) => id)]);
  }

  /**
   * Adds a rule, unless the place has one that asks the same.
   *
   * @returns the number of either, and whether it is new
   */
  async add(
    on: RulePlace,
    terms: RuleTerms,
    by: Actor,
  ): Promise<{ readonly number: number; readonly added: boolean }> {
    return write(this.#db, by, async (w) => {
      const rules = await rulesOn(w.trx, [on.id]);
      const same = rules.find((rule) => sameTerms(rule, terms));
      if (same !== undefined) return { number: same.number, added: false };
      const number = await nextNumber(w, on.id);
      await w.trx
        .insertInto('ref_rule')
        .values({
          on_id: on.id,
          number,
          on_kind: on.kind,
          pattern: terms.pattern,
          deny: terms.deny.join(','),
          closed: Number(terms.isClosed),
          signed: Number(terms.signed),
          max_file_bytes: terms.maxFileBytes ?? null,
        })
        .execute();
      for (const { kind, id } of terms.allow) {
        const row = { on_id: on.id, number, who_kind: kind, who_id: id };
        await w.trx.insertInto('ref_rule_allow').values(row).execute();
      }
      await w.log({ type: 'rule-added', ...subject(on), detail: { rule: number, ...terms } });
      return { number, added: true };
    });
  }

  /** @returns whether it was there; undefined when the place never had one of this number */
  async remove(on: RulePlace, number: number, by: Actor): Promise<boolean | undefined> {
    return write(this.#db, by, async (w) => {
      const held = await w.trx
        .selectFrom('ref_rule')
        .select('pattern')
        .where('on_id', '=', on.id)
        .where('number', '=', number)
        .executeTakeFirst();
      if (held === undefined) return number <= (await given(w, on.id)) ? false : undefined;
      await w.trx
        .deleteFrom('ref_rule_allow')
        .where('on_id', '=', on.id)
        .where('number', '=', number)
        .execute();
      await w.trx
        .deleteFrom('ref_rule')
        .where('on_id', '=', on.id)
        .where('number', '=', number)
        .execute();
      const detail = { rule: number, pattern: held.pattern };
      await w.log({ type: 'rule-removed', ...subject(on), detail });
      return true;
    });
  }
}

/** Takes all rules of a place away with it. */
export async function dropRules({ trx }: Write, onId: string): Promise<void> {
  for (const table of ['ref_rule_allow', 'ref_rule', 'ref_rule_count'] as const) {
    await trx.deleteFrom(table).where('on_id', '=', onId).execute();
  }
}

async function rulesOn(
  db: Pick<Database, 'selectFrom'>,
  ids: readonly string[],
): Promise<readonly Rule[]> {
  const rows = await db
    .selectFrom('ref_rule')
    .selectAll()
    .where('on_id', 'in', ids)
    .orderBy('on_id')
    .orderBy('number')
    .execute();
  if (rows.length === 0) return [];
  const allowed = await exceptionsOn(db, ids);
  const rules = rows.map((row) => ({
    number: row.number,
    on: row.on_kind,
    pattern: row.pattern,
    deny: row.deny === '' ? [] : (row.deny.split(',') as RefAct[]),
    allow: allowed.get(`${row.on_id} ${row.number}`) ?? [],
    isClosed: row.closed === 1,
    signed: row.signed === 1,
    maxFileBytes: row.max_file_bytes ?? undefined,
  }));
  return [...rules.filter(({ on }) => on === 'org'), ...rules.filter(({ on }) => on === 'repo')];
}

/** Whom rules make exceptions for, by place and number, in the order of names. */
async function exceptionsOn(
  db: Pick<Database, 'selectFrom'>,
  ids: readonly string[],
): Promise<ReadonlyMap<string, readonly RuleWho[]>> {
  const rows = await db
    .selectFrom('ref_rule_allow')
    .leftJoin('user', 'user.id', 'ref_rule_allow.who_id')
    .leftJoin('org', 'org.id', 'ref_rule_allow.who_id')
    .leftJoin('team', 'team.id', 'ref_rule_allow.who_id')
    .leftJoin('org as parent', 'parent.id', 'team.org_id')
    .leftJoin('ssh_key', 'ssh_key.id', 'ref_rule_allow.who_id')
    .leftJoin('server', 'server.id', 'ref_rule_allow.who_id')
    .select(['on_id', 'number', 'who_kind', 'who_id', 'user.name as user', 'org.name as org'])
    .select([
      'team.name as team',
      'parent.name as parent',
      'ssh_key.fingerprint as key',
      'server.name as server',
    ])
    .where('on_id', 'in', ids)
    .execute();
  const found = new Map<string, RuleWho[]>();
  for (const row of rows) {
    const text = {
      user: row.user,
      org: row.org && `org:${row.org}`,
      team: row.team && `team:${row.parent}/${row.team}`,
      key: row.key && `key:${row.key}`,
      right: `right:${row.who_id}`,
      server: row.server && `server:${row.server}`,
    }[row.who_kind];
    const place = `${row.on_id} ${row.number}`;
    const held = found.get(place) ?? [];
    found.set(place, [
      ...held,
      { kind: row.who_kind, id: row.who_id, text: text ?? `${row.who_kind}:(gone)` },
    ]);
  }
  for (const held of found.values()) held.sort((a, b) => (a.text < b.text ? -1 : 1));
  return found;
}

async function given({ trx }: Write, onId: string): Promise<number> {
  const row = await trx
    .selectFrom('ref_rule_count')
    .select('given')
    .where('on_id', '=', onId)
    .executeTakeFirst();
  return row?.given ?? 0;
}

async function nextNumber({ trx }: Write, onId: string): Promise<number> {
  const row = await trx
    .insertInto('ref_rule_count')
    .values({ on_id: onId, given: 1 })
    .onConflict((on) => on.column('on_id').doUpdateSet({ given: sql<number>`given + 1` }))
    .returning('given')
    .executeTakeFirstOrThrow();
  return row.given;
}

function subject({ kind, id }: RulePlace): { repoId?: string; subjectId?: string } {
  return kind === 'repo' ? { repoId: id } : { subjectId: id };
}
