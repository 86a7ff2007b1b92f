import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import { bodyOf, type KeyBody, type RepoBody } from './log-bodies.ts';
import type { Mapped } from './log-ids.ts';
import { unlikeness } from './log-likeness.ts';
import type { Database } from './sqlite.ts';

/** A subject of a server's change log, as it published it last. */
export interface Published {
  readonly subject: string;
  /** JSON; `null` in it says that the subject is gone. */
  readonly body: string;
}

/** Something that is otherwise on a backup than on its main. */
export interface Difference {
  /** `user`, `key`, `org`, `members`, `repo`, `grants`, `rules`, `refs`, `history` or `log`. */
  readonly kind: string;
  readonly name: string;
  readonly why: string;
}

/** Of users, organizations and rights: told of to those alone who follow identities. */
const ofIdentities = new Set(['user', 'key', 'org', 'members', 'grants', 'rules']);

/** Whether a backup is what its main is: what a fail-over would show, shown before. */
export class Likeness {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** What this server's log says, by subject, in their order. @param after - the last subject of a page */
  async page(after: string, limit: number): Promise<readonly Published[]> {
    const rows = await this.#db
      .selectFrom('log_subject')
      .innerJoin('log_entry', 'log_entry.seq', 'log_subject.seq')
      .select(['log_subject.subject', 'log_entry.body'])
      .where('log_subject.subject', '>', after)
      .orderBy('log_subject.subject')
      .limit(limit)
      .execute();
    return rows.map(({ subject, body }) => ({ subject, body: body ?? 'null' }));
  }

  /** What is otherwise here than a server that is followed says; whoever was to stay as he is here is left out. */
  async differences(
    serverId: string,
    published: readonly Published[],
    { identities }: { readonly identities: boolean },
  ): Promise<readonly Difference[]> {
    const { ids, kept } = await this.#ids(serverId);
    const found: Difference[] = [];
    for (const { subject, body } of published) {
      const [kind = '', id = ''] = subject.split(':');
      if (ofIdentities.has(kind) ? !identities : kind !== 'repo') continue;
      const theirs = JSON.parse(body) ?? undefined;
      const about = kind === 'key' ? (theirs?.user_id ?? '') : id;
      if (kept.has(about)) continue;
      const mine = await bodyOf(this.#db, subject, ids);
      const why = unlikeness(kind, { theirs, mine });
      if (why === undefined) continue;
      found.push({
        kind,
        name: (await this.#name(ids.toLocal(id))) ?? nameThere(theirs) ?? id,
        why,
      });
    }
    return found;
  }

  /** The ids that are others here than there: few, for only what was here before has its own. */
  async #ids(serverId: string): Promise<{ ids: Mapped; kept: ReadonlySet<string> }> {
    const people = await this.#db
      .selectFrom('followed')
      .select(['remote_id as remote', 'local_id as local', 'ours'])
      .where('server_id', '=', serverId)
      .where((eb) =>
        eb.or([eb('remote_id', '<>', eb.ref('local_id')), eb('ours', '=', sql.lit(0))]),
      )
      .execute();
    const repos = await this.#db
      .selectFrom('server_link')
      .select(['remote_id as remote', 'repo_id as local'])
      .where('server_id', '=', serverId)
      .whereRef('remote_id', '<>', 'repo_id')
      .execute();
    const all = [...people, ...repos];
    const toLocal = new Map(all.map(({ remote, local }) => [remote ?? '', local]));
    const toRemote = new Map(all.map(({ remote, local }) => [local, remote ?? '']));
    return {
      ids: {
        toLocal: (id) => toLocal.get(id) ?? id,
        toRemote: (id) => toRemote.get(id) ?? id,
      },
      kept: new Set(people.filter(({ ours }) => ours === 0).map(({ remote }) => remote)),
    };
  }

  /** What a user, org or repository is called here. */
  async #name(id: string): Promise<string | undefined> {
    const owner = await this.#db
      .selectFrom('namespace')
      .select('name')
      .where('owner_id', '=', id)
      .where('current', '=', sql.lit(1))
      .executeTakeFirst();
    if (owner !== undefined) return owner.name;
    const repo = await this.#db
      .selectFrom('repository')
      .innerJoin('namespace', 'namespace.owner_id', 'repository.namespace_id')
      .select(['namespace.name as namespace', 'repository.name'])
      .where('repository.id', '=', id)
      .where('namespace.current', '=', sql.lit(1))
      .executeTakeFirst();
    return repo && `${repo.namespace}/${repo.name}`;
  }

  /** The SHA-256 of all that a repository's refs went through, whatever order it was told in; in hexadecimal. */
  async history(repoId: string): Promise<string> {
    const rows = await this.#db
      .selectFrom('ref_update')
      .select(['request', 'ref', 'old_oid', 'new_oid', 'purged'])
      .where('repo_id', '=', repoId)
      .where('aside', '=', sql.lit(0))
      .execute();
    const hash = createHash('sha256');
    for (const line of rows.map((row) => Object.values(row).join(' ')).sort()) {
      hash.update(`${line}\n`);
    }
    return hash.digest('hex');
  }
}

/** What a subject is called over there, as far as it has a name. */
function nameThere(body: Partial<KeyBody & RepoBody> | undefined): string | undefined {
  const { fingerprint, namespace, name } = body ?? {};
  return fingerprint ?? (namespace === undefined ? name : `${namespace}/${name}`);
}
