import { type ExpressionBuilder, sql } from 'kysely';
import type { Tables } from './tables.ts';

/** Whose repositories a list is about: everybody's, or those that something gives this user a right to. */
export type Viewer = { readonly kind: 'all' } | { readonly kind: 'user'; readonly id: string };

/** The repositories that a user's namespace, orgs, grants or their visibility may give a right to: each part by an index. */
export function reachableBy(userId: string) {
  return (eb: ExpressionBuilder<Tables, 'repository'>) => {
    const orgs = eb.selectFrom('org_member').select('org_id as id').where('user_id', '=', userId);
    const teams = eb
      .selectFrom('team_member')
      .select('team_id as id')
      .where('user_id', '=', userId);
    const granted = (kind: 'repo' | 'org') =>
      eb
        .selectFrom('access_grant')
        .select('on_id as id')
        .where('on_kind', '=', kind)
        .where((g) =>
          g(
            'who_id',
            'in',
            g
              .selectFrom('user')
              .select('id')
              .where('id', '=', userId)
              .unionAll(orgs)
              .unionAll(teams),
          ),
        );
    return eb(
      'repository.id',
      'in',
      eb
        .selectFrom('repository as own')
        .select('own.id')
        .where('own.namespace_id', '=', userId)
        .unionAll(
          eb.selectFrom('repository as o').select('o.id').where('o.namespace_id', 'in', orgs),
        )
        .unionAll(granted('repo'))
        .unionAll(
          eb
            .selectFrom('repository as g')
            .select('g.id')
            .where('g.namespace_id', 'in', granted('org')),
        )
        .unionAll(
          eb
            .selectFrom('repository as v')
            .select('v.id')
            .where('v.visibility', '<>', sql.lit('private')),
        ),
    );
  };
}
