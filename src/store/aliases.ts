import { UserError } from '../model/errors.ts';
import { type Actor, type Write, write } from './changes.ts';
import { type Repository, select } from './repositories.ts';
import { type Path, retake } from './retake.ts';
import type { Database } from './sqlite.ts';

/** How many aliases a repository may have: they take names from others. */
const mostAliases = 50;

export interface Alias {
  readonly path: string;
  readonly repoId: string;
  /** `namespace/name` as it is now. */
  readonly repo: string;
}

export interface NewAlias {
  /** `text` as `parseAlias` has it; a namespace and name where a repository could be called so. */
  readonly path: Path;
  /** The repositories that the path may have led to so far. */
  readonly retakes: readonly string[];
}

/** Paths of other servers that lead to repositories here. */
export class Aliases {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  async find(path: string): Promise<Alias | undefined> {
    const [row] = await this.#select().where('alias.path', '=', path).execute();
    return row && toAlias(row);
  }

  async ofRepo(repoId: string): Promise<readonly Alias[]> {
    const query = this.#select().where('alias.repo_id', '=', repoId);
    return (await query.orderBy('alias.path').execute()).map(toAlias);
  }

  /** A page of all aliases, in their order. */
  async page(after: string, limit: number): Promise<readonly Alias[]> {
    const query = this.#select().where('alias.path', '>', after);
    return (await query.orderBy('alias.path').limit(limit).execute()).map(toAlias);
  }

  /**
   * @returns whether anything changed
   * @throws UserError `conflict` when a repository is called so or the path leads to another one, `unavailable` over the limit
   */
  async add(repo: Repository, alias: NewAlias, by: Actor): Promise<boolean> {
    const { path, retakes } = alias;
    return write(this.#db, by, async (w) => {
      const held = await w.trx
        .selectFrom('alias')
        .select('repo_id')
        .where('path', '=', path.text)
        .executeTakeFirst();
      if (held?.repo_id === repo.id) return false;
      await refuseShadow(w, path);
      await retake(w, path, retakes);
      await refuseMany(w, repo);
      await w.trx
        .insertInto('alias')
        .values({ path: path.text, repo_id: repo.id, added_by: by.principal, added_at: w.now })
        .execute();
      await w.log({ type: 'alias-added', repoId: repo.id, detail: { path: path.text } });
      return true;
    });
  }

  /** @returns whether anything changed */
  async remove(alias: Alias, by: Actor): Promise<boolean> {
    return write(this.#db, by, async (w) => {
      const gone = await w.trx
        .deleteFrom('alias')
        .where('path', '=', alias.path)
        .where('repo_id', '=', alias.repoId)
        .executeTakeFirst();
      if (gone.numDeletedRows === 0n) return false;
      await w.log({ type: 'alias-removed', repoId: alias.repoId, detail: { path: alias.path } });
      return true;
    });
  }

  #select() {
    return select(this.#db)
      .innerJoin('alias', 'alias.repo_id', 'repository.id')
      .select(['alias.path', 'alias.repo_id']);
  }
}

async function refuseShadow({ trx }: Write, { namespaceId, name, text }: Path): Promise<void> {
  const held = await trx
    .selectFrom('repository')
    .select('id')
    .where('namespace_id', '=', namespaceId)
    .where('name', '=', name)
    .where('deleted_at', 'is', null)
    .executeTakeFirst();
  if (held === undefined) return;
  throw new UserError('conflict', `${text}: a repository is called so`, {
    hint: 'an alias never stands before a repository: choose another path',
  });
}

async function refuseMany({ trx }: Write, repo: Repository): Promise<void> {
  const row = await trx
    .selectFrom('alias')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('repo_id', '=', repo.id)
    .executeTakeFirst();
  if ((row?.count ?? 0) < mostAliases) return;
  throw new UserError('unavailable', `${repo.fullName} has ${mostAliases} aliases, no more fit`, {
    hint: `see them with: repo alias list ${repo.fullName}`,
  });
}

function toAlias(row: { path: string; repo_id: string; namespace: string; name: string }): Alias {
  return { path: row.path, repoId: row.repo_id, repo: `${row.namespace}/${row.name}` };
}
