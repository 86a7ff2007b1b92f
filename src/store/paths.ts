import { sql } from 'kysely';
import { compiled } from './compiled.ts';
import { type Repository, select, toRepository } from './repositories.ts';
import type { Path } from './retake.ts';
import type { Database } from './sqlite.ts';

/** What makes a path lead to a repository: that it is called so, an alias, or that it was called so. */
export const waysTo = ['name', 'alias', 'old-name'] as const;
export type WayTo = (typeof waysTo)[number];

/** A repository that a path leads to. */
export interface Lead {
  readonly how: WayTo;
  readonly repo: Repository;
}

const leadsAt = (db: Database) =>
  compiled(db, (namespaceId: string, name: string, text: string) => {
    const by = (how: WayTo) => select(db).select(sql.lit(how).as('how'));
    const named = by('name')
      .where('repository.namespace_id', '=', namespaceId)
      .where('repository.name', '=', name);
    const aliased = by('alias')
      .innerJoin('alias', 'alias.repo_id', 'repository.id')
      .where('alias.path', '=', text);
    const redirected = by('old-name')
      .innerJoin('redirect', 'redirect.repo_id', 'repository.id')
      .where('redirect.namespace_id', '=', namespaceId)
      .where('redirect.name', '=', name);
    return named.unionAll(aliased).unionAll(redirected);
  });

/** What paths lead to, besides the names that repositories have now. */
export class Paths {
  readonly #at: ReturnType<typeof leadsAt>;

  constructor(db: Database) {
    this.#at = leadsAt(db);
  }

  /** All that a path leads to, in the order of `waysTo`; as quick for one that leads nowhere. */
  async at({ namespaceId, name, text }: Path): Promise<readonly Lead[]> {
    const rows = await this.#at(namespaceId, name, text);
    return rows
      .map((row) => ({ how: row.how, repo: toRepository(row) }))
      .sort((a, b) => waysTo.indexOf(a.how) - waysTo.indexOf(b.how));
  }
}
