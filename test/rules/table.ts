import type { RefAct } from '../../src/model/rule.ts';

/** Who asks, by their standing in the organization acme, in which all repositories of the table are. */
export const people = {
  ow: 'an owner of acme',
  ad: 'an admin of acme',
  wr: 'write granted on acme as a whole',
  te: 'of the team acme/devs, to which write is granted',
  gu: 'of the organization guests, to which write is granted',
} as const;
export type Who = keyof typeof people;

/** One question and its one right answer. */
export interface Case {
  readonly who: Who;
  readonly act: RefAct;
  /** A full ref, or a branch. */
  readonly ref: string;
  /** `ok`; else `r2` for the repository's second rule, `o1` for the organization's first, `default` for its own. */
  readonly answer: string;
  /** The answer to an undo that does this to the ref, which is decided as an update: where it is another. */
  readonly undo: string;
}

/** Rules, and what may be done under them. */
export interface Scene {
  readonly name: string;
  /** Flags behind `org rules add ORG` and `repo rules add REPO`. */
  readonly org: readonly string[];
  readonly repo: readonly string[];
  readonly cases: readonly Case[];
}

function scene(
  name: string,
  rules: { org?: readonly string[]; repo?: readonly string[] },
  grid: string,
): Scene {
  const cases = grid
    .trim()
    .split('\n')
    .map((line) => {
      const [who, act, ref = '', answer = '', undo = answer] = line.trim().split(/\s+/);
      return { who: who as Who, act: act as RefAct, ref, answer, undo };
    });
  return { name, org: rules.org ?? [], repo: rules.repo ?? [], cases };
}

/**
 * Written by hand from contract section 5; every ref is asked about once, so that the order says nothing. The
 * last column is for an undo, where its answer is another.
 */
export const scenes: readonly Scene[] = [
  scene(
    'protected',
    { repo: ['keep/* --deny force,delete'] },
    `
    wr create keep/new            ok
    wr update keep/update         ok
    wr force  keep/force          r1      ok
    wr delete keep/delete         r1
    wr force  free                ok
    wr delete free-too            ok
    wr create keep/a/new          ok
    wr force  keep/a/force        ok
    wr delete keep/a/delete       ok
    wr force  keeper              ok
    wr delete refs/tags/keep/tag  ok
    wr delete main                default
    ow update keep/by-owner       ok
    ow force  keep/owner-forces   r1      ok
    ow delete keep/owner-deletes  r1      ok
    te force  keep/team-forces    r1      ok
    `,
  ),
  scene(
    'everywhere',
    { repo: ['** --deny delete', 'deep/** --deny create', 'refs/heads/locked --deny create'] },
    `
    wr delete a                   r1
    wr delete x/y/z               r1
    wr force  x/w                 ok
    wr create deep/one            r2      ok
    wr create deep/a/b            r2      ok
    wr create deeper              ok
    wr update deep/update         ok
    wr force  deep/force          ok
    wr create locked              r3      ok
    wr create refs/tags/locked    ok
    wr delete refs/tags/tag       ok
    ow create deep/owner          r2      ok
    ow delete owner               r1      ok
    `,
  ),
  scene(
    'tags',
    {
      repo: [
        'refs/tags/v* --deny force,delete',
        'refs/tags/** --deny create --allow team:acme/devs',
      ],
    },
    `
    wr create refs/tags/v9        r2      ok
    ow create refs/tags/owner     r2      ok
    te create refs/tags/v8        ok
    te create refs/tags/a/b       ok
    te update refs/tags/v1        r1      ok
    te force  refs/tags/v2        r1      ok
    te delete refs/tags/v3        r1
    wr update refs/tags/x1        ok
    wr force  refs/tags/x2        ok
    wr delete refs/tags/x3        ok
    wr force  refs/tags/a/v4      ok
    wr create refs/heads/v5       ok
    `,
  ),
  scene(
    'exceptions',
    {
      repo: [
        'rel/* --deny create,update,force,delete --allow te',
        'right/* --deny update --allow right:admin',
        'org/* --deny update,delete --allow org:guests --allow wr',
      ],
    },
    `
    te create rel/new             ok
    te update rel/update          ok
    te force  rel/force           ok
    te delete rel/delete          ok
    wr create rel/wr-new          r1
    wr update rel/wr-update       r1
    wr force  rel/wr-force        r1
    wr delete rel/wr-delete       r1
    ow update rel/owner           r1
    ad update right/admin         ok
    ow update right/owner         ok
    wr update right/write         r2
    te force  right/force         r2
    te delete right/delete        ok
    gu update org/guest           ok
    wr delete org/wr              ok
    te update org/team            r3
    ad delete org/admin           r3
    `,
  ),
  scene(
    'closed',
    { repo: ['only/* --allow wr', 'devs/* --allow team:acme/devs --allow gu'] },
    `
    wr create only/new            ok
    wr update only/update         ok
    wr force  only/force          ok
    wr delete only/delete         ok
    ow create only/owner-new      r1
    ow update only/owner-update   r1
    ow force  only/owner-force    r1
    ow delete only/owner-delete   r1
    te update devs/update         ok
    gu force  devs/force          ok
    wr create devs/new            r2
    ad delete devs/delete         r2
    wr create elsewhere           ok
    `,
  ),
  scene(
    'several',
    {
      repo: [
        'multi/** --deny delete --allow wr',
        'multi/a/* --deny delete --allow te',
        'multi/a/* --deny force',
        'fix/* --deny update',
        'refs/notes/** --deny force',
      ],
    },
    `
    wr delete multi/b             ok
    wr delete multi/a/x           r2
    te delete multi/a/y           r1
    te force  multi/a/z           r3      ok
    wr update multi/a/u           ok
    wr force  multi/c             ok
    wr create fix/new             ok      r4
    wr update fix/update          r4
    wr force  fix/force           r4
    wr delete fix/delete          ok
    wr update refs/notes/update   ok
    wr force  refs/notes/force    r5      ok
    wr delete refs/notes/delete   ok
    `,
  ),
  scene(
    'both',
    {
      org: ['rel/** --deny force', 'rel/** --deny create --allow ow', 'refs/tags/** --deny delete'],
      repo: ['rel/** --deny delete', 'rel/closed/* --allow wr', 'rel/** --deny force --allow wr'],
    },
    `
    wr force  rel/force           o1      ok
    ow force  rel/owner-force     o1      ok
    wr delete rel/delete          r1
    wr create rel/new             o2      ok
    ow create rel/owner-new       ok
    ow create rel/closed/new      r2
    wr create rel/closed/wr-new   o2      ok
    wr update rel/closed/update   ok
    ow update rel/closed/owner    r2
    wr force  free                ok
    wr delete refs/tags/tag       o3
    ow delete refs/tags/owner     o3      ok
    `,
  ),
];
