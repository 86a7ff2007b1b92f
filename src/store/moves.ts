import { type Actor, write } from './changes.ts';
import { type Namespace, retireName, takeName } from './names.ts';
import { type Repository, refuseTaken } from './repositories.ts';
import { retake } from './retake.ts';
import type { Database } from './sqlite.ts';
import { refuseOver } from './usage.ts';

/** A directory that is moved together with the row that says where it is. */
export interface Move {
  readonly kind: 'repo' | 'namespace';
  /** The id of the repository, or of the user or org. */
  readonly subjectId: string;
  /** `namespace/name` of a repository, or a namespace's name. */
  readonly from: string;
  readonly to: string;
}

/** Where a repository goes. */
export interface Place {
  readonly namespace: Namespace;
  readonly name: string;
  /** How many repositories the namespace may have with it; any number without. */
  readonly limit?: number | undefined;
  /** The repositories that the name may lead to so far: it ends to. */
  readonly retakes: readonly string[];
}

/** A user or org that is to be called otherwise. */
export interface Owner {
  readonly kind: 'user' | 'org';
  readonly id: string;
  readonly name: string;
}

/** New names: of repositories, users and orgs, and the journal of the directories that follow. */
export class Moves {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** Durable before the directory moves, so that a crash leaves nobody to guess where it is. */
  async begin({ subjectId, kind, from, to }: Move): Promise<void> {
    const row = { subject_id: subjectId, kind, from_path: from, to_path: to };
    await this.#db
      .insertInto('move_journal')
      .values(row)
      // One that could not be settled: its directory has been found in its place since.
      .onConflict((on) => on.column('subject_id').doUpdateSet(row))
      .execute();
  }

  /** Takes a move from the journal: its directory is where the row says. */
  async end(subjectId: string): Promise<void> {
    await this.#db.deleteFrom('move_journal').where('subject_id', '=', subjectId).execute();
  }

  /** The moves that a crash cut off. */
  async unfinished(): Promise<readonly Move[]> {
    const rows = await this.#db.selectFrom('move_journal').selectAll().execute();
    return rows.map((row) => ({
      kind: row.kind,
      subjectId: row.subject_id,
      from: row.from_path,
      to: row.to_path,
    }));
  }

  /**
   * Gives a repository another name, and leaves the old one to lead to it.
   *
   * @param apply - moves the directory, in the same transaction
   * @throws UserError `conflict` when the name is taken, `unavailable` over the limit
   */
  async renameRepo(
    repo: Repository,
    to: Place,
    by: Actor,
    apply: () => Promise<void>,
  ): Promise<void> {
    const { namespace, name } = to;
    const fullName = `${namespace.name}/${name}` as const;
    await write(this.#db, by, async (w) => {
      await refuseTaken(w, { namespaceId: namespace.ownerId, name, fullName });
      if (namespace.ownerId !== repo.namespaceId) await refuseOver(w, namespace, to.limit);
      const path = { namespaceId: namespace.ownerId, name, text: fullName };
      await retake(w, path, [...to.retakes, repo.id]);
      await w.trx
        .insertInto('redirect')
        .values({ namespace_id: repo.namespaceId, name: repo.name, repo_id: repo.id })
        .onConflict((on) => on.columns(['namespace_id', 'name']).doUpdateSet({ repo_id: repo.id }))
        .execute();
      await w.trx
        .updateTable('repository')
        .set({ namespace_id: namespace.ownerId, name, updated_at: w.now })
        .where('id', '=', repo.id)
        .execute();
      const detail = { from: repo.fullName, name: fullName };
      await w.log({ type: 'repo-renamed', repoId: repo.id, detail });
      await w.trx.deleteFrom('move_journal').where('subject_id', '=', repo.id).execute();
      if (!by.dryRun) await apply();
    });
  }

  /**
   * Gives a user or org another name; the old one stays reserved and leads to it.
   *
   * @param apply - moves the directory, in the same transaction
   * @throws UserError `conflict` when the name is taken or reserved
   */
  async renameOwner(
    owner: Owner,
    name: string,
    by: Actor,
    apply: () => Promise<void>,
  ): Promise<void> {
    await write(this.#db, by, async (w) => {
      await retireName(w, owner.id);
      await takeName(w, name, owner.kind, owner.id);
      await w.trx.updateTable(owner.kind).set({ name }).where('id', '=', owner.id).execute();
      const detail = { from: owner.name, name };
      await w.log({ type: `${owner.kind}-renamed`, subjectId: owner.id, detail });
      await w.trx.deleteFrom('move_journal').where('subject_id', '=', owner.id).execute();
      if (!by.dryRun) await apply();
    });
  }
}
