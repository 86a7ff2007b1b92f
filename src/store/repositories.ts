import { type Kysely, type SelectQueryBuilder, sql } from 'kysely';
import { UserError } from '../model/errors.ts';
import type { Visibility } from '../model/repo.ts';
import { type Actor, type Write, write } from './changes.ts';
import type { Namespace } from './names.ts';
import { forgetPaths, retake } from './retake.ts';
import { dropRules } from './rules.ts';
import type { Database } from './sqlite.ts';
import type { Tables } from './tables.ts';
import { refuseOver } from './usage.ts';
import { reachableBy, type Viewer } from './viewer.ts';

export interface Repository {
  readonly id: string;
  readonly namespaceId: string;
  readonly namespaceKind: 'user' | 'org';
  readonly namespace: string;
  readonly name: string;
  /** `namespace/name` as it is now. */
  readonly fullName: string;
  readonly description: string;
  readonly visibility: Visibility;
  readonly defaultBranch: string;
  readonly archived: boolean;
  readonly sizeBytes: number;
  readonly refs: number;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export interface NewRepository {
  readonly id: string;
  readonly namespace: Namespace;
  readonly name: string;
  readonly description: string;
  readonly visibility: Visibility;
  readonly defaultBranch: string;
  /** How many repositories the namespace may have with it; any number without. */
  readonly limit?: number | undefined;
  /** The repositories that the name may lead to so far: it ends to. */
  readonly retakes?: readonly string[] | undefined;
}

export interface RepositorySettings {
  readonly description?: string | undefined;
  readonly visibility?: Visibility | undefined;
  readonly defaultBranch?: string | undefined;
  readonly archived?: boolean | undefined;
}

/** A place in the order of full names. */
export interface After {
  readonly namespace: string;
  readonly name: string;
}

/**
 * The rows of repositories, those in the trash too. Literals stand in the query itself where a partial index is to be
 * used: SQLite must see its condition.
 */
export function repositoryRows(db: Kysely<Tables>) {
  return db
    .selectFrom('repository')
    .innerJoin('namespace', (join) =>
      join
        .onRef('namespace.owner_id', '=', 'repository.namespace_id')
        .on('namespace.current', '=', sql.lit(1)),
    )
    .selectAll('repository')
    .select(['namespace.name as namespace', 'namespace.kind as kind']);
}

/** Those that are not in the trash. */
export function select(db: Kysely<Tables>) {
  return repositoryRows(db).where('repository.deleted_at', 'is', null);
}

/** A row of `repositoryRows`. */
export type RepositoryRow =
  ReturnType<typeof repositoryRows> extends SelectQueryBuilder<Tables, infer _T, infer O>
    ? O
    : never;

export class Repositories {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  async byName(namespaceId: string, name: string): Promise<Repository | undefined> {
    const row = await select(this.#db)
      .where('repository.namespace_id', '=', namespaceId)
      .where('repository.name', '=', name)
      .executeTakeFirst();
    return row && toRepository(row);
  }

  async byId(id: string): Promise<Repository | undefined> {
    const row = await select(this.#db).where('repository.id', '=', id).executeTakeFirst();
    return row && toRepository(row);
  }

  /**
   * Writes the row of a repository; `place` then puts its directory there, in the same transaction,
   * so that a failure of either leaves neither.
   *
   * @throws UserError `conflict` when the name is taken, `unavailable` over `limit`
   */
  async add(repo: NewRepository, by: Actor, place: () => Promise<void>): Promise<void> {
    await write(this.#db, by, async (w) => {
      const fullName = `${repo.namespace.name}/${repo.name}`;
      await refuseTaken(w, { namespaceId: repo.namespace.ownerId, name: repo.name, fullName });
      await refuseOver(w, repo.namespace, repo.limit);
      const path = { namespaceId: repo.namespace.ownerId, name: repo.name, text: fullName };
      await retake(w, path, repo.retakes);
      await w.trx
        .insertInto('repository')
        .values({
          id: repo.id,
          namespace_id: repo.namespace.ownerId,
          name: repo.name,
          description: repo.description,
          visibility: repo.visibility,
          default_branch: repo.defaultBranch,
          archived: 0,
          size_bytes: 0,
          ref_count: 0,
          created_at: w.now,
          updated_at: w.now,
        })
        .execute();
      const { visibility } = repo;
      await w.log({ type: 'repo-added', repoId: repo.id, detail: { name: fullName, visibility } });
      if (!by.dryRun) await place();
    });
  }

  /** Takes the row away; `displace` takes the directory away in the same transaction. */
  async remove(repo: Repository, by: Actor, displace: () => Promise<void>): Promise<void> {
    await write(this.#db, by, async (w) => {
      await removeRow(w, repo);
      if (!by.dryRun) await displace();
    });
  }

  /** @returns whether anything changed */
  async set(
    repo: Repository,
    settings: RepositorySettings,
    by: Actor,
    apply: () => Promise<void>,
  ): Promise<boolean> {
    return write(this.#db, by, async (w) => {
      // Read here: what the caller knows may be older than a change that it waited for.
      const now = await w.trx
        .selectFrom('repository')
        .select(['description', 'visibility', 'default_branch', 'archived'])
        .where('id', '=', repo.id)
        .executeTakeFirstOrThrow();
      const next = {
        description: settings.description ?? now.description,
        visibility: settings.visibility ?? now.visibility,
        default_branch: settings.defaultBranch ?? now.default_branch,
        archived: Number(settings.archived ?? now.archived),
      };
      const same =
        next.description === now.description &&
        next.visibility === now.visibility &&
        next.default_branch === now.default_branch &&
        next.archived === now.archived;
      if (same) return false;
      await w.trx
        .updateTable('repository')
        .set({ ...next, updated_at: w.now })
        .where('id', '=', repo.id)
        .execute();
      await w.log({ type: 'repo-set', repoId: repo.id, detail: next });
      if (!by.dryRun) await apply();
      return true;
    });
  }

  /** How many there are. */
  async count(): Promise<number> {
    const row = await this.#db
      .selectFrom('repository')
      .where('deleted_at', 'is', null)
      .select((eb) => eb.fn.countAll<number>().as('count'))
      .executeTakeFirstOrThrow();
    return row.count;
  }

  /** Notes the repository's size on disk. */
  async measured(id: string, sizeBytes: number): Promise<void> {
    await this.#db
      .updateTable('repository')
      .set({ size_bytes: sizeBytes })
      .where('id', '=', id)
      .execute();
  }

  /** A page in the order of full names; for a user, of what might be readable: the caller decides row by row. */
  async page(
    viewer: Viewer,
    options: { after: After; limit: number; namespaceId?: string | undefined },
  ): Promise<readonly Repository[]> {
    let query = select(this.#db);
    if (options.namespaceId !== undefined) {
      query = query.where('repository.namespace_id', '=', options.namespaceId);
    }
    if (viewer.kind === 'user') query = query.where(reachableBy(viewer.id));
    const { namespace, name } = options.after;
    const rows = await query
      .where((eb) =>
        eb(eb.refTuple('namespace.name', 'repository.name'), '>', eb.tuple(namespace, name)),
      )
      .orderBy('namespace.name')
      .orderBy('repository.name')
      .limit(options.limit)
      .execute();
    return rows.map(toRepository);
  }
}

/** @throws UserError `conflict` when a repository that is not in the trash has this name */
export async function refuseTaken(
  { trx }: Write,
  { namespaceId, name, fullName }: Pick<Repository, 'namespaceId' | 'name' | 'fullName'>,
): Promise<void> {
  const held = await trx
    .selectFrom('repository')
    .select('id')
    .where('namespace_id', '=', namespaceId)
    .where('name', '=', name)
    .where('deleted_at', 'is', null)
    .executeTakeFirst();
  if (held === undefined) return;
  throw new UserError('conflict', `${fullName}: this repository exists already`, {
    hint: `see it with: show ${fullName}`,
  });
}

/** Tables of what a repository has while it is there. */
const owned = [
  'archived_tip',
  'ref_value',
  'ref_birth',
  'purge',
  'server_link',
  'sync_base',
  'sync_run',
  'sync_conflict',
  'neighbor_copy',
  'sync_head',
] as const;

/** Takes everything away that is known of a repository but its history. */
export async function removeRow(w: Write, repo: Repository): Promise<void> {
  await w.trx.deleteFrom('access_grant').where('on_id', '=', repo.id).execute();
  await dropRules(w, repo.id);
  await forgetPaths(w, repo.id);
  for (const table of owned) {
    await w.trx.deleteFrom(table).where('repo_id', '=', repo.id).execute();
  }
  await w.trx.deleteFrom('repository').where('id', '=', repo.id).execute();
  await w.log({ type: 'repo-removed', repoId: repo.id, detail: { name: repo.fullName } });
}

/** A row of `repositoryRows`. */
export function toRepository(row: RepositoryRow): Repository {
  return {
    id: row.id,
    namespaceId: row.namespace_id,
    namespaceKind: row.kind,
    namespace: row.namespace,
    name: row.name,
    fullName: `${row.namespace}/${row.name}`,
    description: row.description,
    visibility: row.visibility,
    defaultBranch: row.default_branch,
    archived: row.archived === 1,
    sizeBytes: row.size_bytes,
    refs: row.ref_count,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
