import { join } from 'node:path';
import type { RefAct } from '../../src/model/rule.ts';
import type { House } from '../support/house.ts';
import type { Person } from '../support/person.ts';
import { must as mustRun } from '../support/process.ts';
import { type Case, people, type Scene, type Who } from './table.ts';

/** What somebody wants to do to some refs of one repository. */
export interface Deed {
  readonly act: RefAct;
  /** Full. */
  readonly ref: string;
}

/** A way to change refs: a push, or another that must be ruled alike. */
export interface Way {
  readonly name: string;
  /** Whether this can be done by it at all. */
  takes(one: Case): boolean;
  /** What it answers by the table. */
  expects(one: Case): string;
  /** Tries all of it. @returns by ref why not; undefined where it was done */
  try(who: Person, repo: string, deeds: readonly Deed[]): Promise<Map<string, string | undefined>>;
}

/** acme, guests, and everybody of the table in their places; with the commits that refs are moved between. */
export class Stage {
  readonly house: House;
  readonly cast: Readonly<Record<Who, Person>>;
  readonly work: string;
  #repos = 0;

  private constructor(house: House, cast: Readonly<Record<Who, Person>>, work: string) {
    this.house = house;
    this.cast = cast;
    this.work = work;
  }

  static async raise(house: House): Promise<Stage> {
    const names = Object.keys(people) as Who[];
    const cast = {} as Record<Who, Person>;
    for (const name of names) cast[name] = await house.person(name);
    for (const line of ['org create guests', 'org member add guests gu']) await must(house, line);
    await found(house, 'acme');
    const work = await house.admin.worktree('rules');
    const git = (...words: string[]) => house.admin.git(words, { cwd: work });
    // first -- second -- third, and an other beside the second.
    for (const name of ['second', 'third']) {
      await git('tag', name === 'second' ? 'first' : 'second');
      await git('commit', '-q', '--allow-empty', '-m', name);
    }
    await git('tag', 'third');
    await git('checkout', '-q', 'first');
    await git('commit', '-q', '--allow-empty', '-m', 'other');
    await git('tag', 'other');
    return new Stage(house, cast, work);
  }

  /** An organization with a repository whose refs are as the cases need them, and its rules. @returns its name */
  async repository({ org, repo: rules, cases }: Scene): Promise<string> {
    this.#repos += 1;
    const place = org.length === 0 ? 'acme' : `acme${this.#repos}`;
    const repo = `${place}/app${this.#repos}`;
    if (place !== 'acme') await found(this.house, place);
    await must(this.house, `init ${repo}`);
    const there = cases.filter(({ act }) => act !== 'create');
    const refs = there.map(({ ref }) => `second:${full(ref)}`);
    const own = ['second:refs/heads/main', 'third:refs/heads/source'];
    const all = ['push', '-q', this.house.admin.url(repo), ...own, ...refs];
    const { status, stderr } = await this.house.admin.git([...new Set(all)], { cwd: this.work });
    if (status !== 0) throw new Error(stderr);
    await this.#actFirst(repo, cases);
    const inPlace = (rule: string) => rule.replaceAll('team:acme/', `team:${place}/`);
    for (const rule of org) await must(this.house, `org rules add ${place} ${inPlace(rule)}`);
    for (const rule of rules) await must(this.house, `repo rules add ${repo} ${inPlace(rule)}`);
    return repo;
  }

  /**
   * While nothing forbids it, everybody does what they are to undo later: overwrites, or creates and deletes. With write,
   * one undoes one's own alone; what was only created is an admin's to undo.
   */
  async #actFirst(repo: string, cases: readonly Case[]): Promise<void> {
    for (const who of Object.keys(people) as Who[]) {
      const own = cases.filter((one) => one.who === who);
      const refs = (...acts: RefAct[]) =>
        own.filter(({ act }) => acts.includes(act)).map(({ ref }) => full(ref));
      const moved = refs('update', 'force').map((ref) => `+other:${ref}`);
      await this.#push(who, repo, [...moved, ...refs('create').map((ref) => `second:${ref}`)]);
      await this.#push(
        who,
        repo,
        refs('create').map((ref) => `:${ref}`),
      );
    }
  }

  async #push(who: Who, repo: string, refspecs: readonly string[]): Promise<void> {
    if (refspecs.length === 0) return;
    const words = ['push', '-q', this.cast[who].url(repo), ...refspecs];
    const { status, stderr } = await this.cast[who].git(words, { cwd: this.work });
    if (status !== 0) throw new Error(stderr);
  }

  /** Puts all refs of a scene back to where they began, past the server, so that the next way finds them so. */
  async reset({ cases }: Scene, repo: string): Promise<void> {
    const cwd = join(this.house.dataDir, 'repositories', `${repo}.git`);
    const oid = (await mustRun('git', ['rev-parse', 'second'], { cwd: this.work })).stdout.trim();
    const lines = cases.map(({ act, ref }) =>
      act === 'create' ? `delete ${full(ref)}\n` : `update ${full(ref)} ${oid}\n`,
    );
    await mustRun('git', ['update-ref', '--stdin'], { cwd, stdin: lines.join('') });
  }

  /** Plays a scene by one way in its repository. @returns how each case that differs from the table came out */
  async play(way: Way, { cases }: Scene, repo: string): Promise<readonly string[]> {
    const surprises: string[] = [];
    for (const who of Object.keys(people) as Who[]) {
      const some = cases.filter((one) => one.who === who && way.takes(one));
      if (some.length === 0) continue;
      const results = await way.try(this.cast[who], repo, some.map(deedOf));
      for (const one of some) {
        const came = answerOf(results, full(one.ref), repo);
        if (came !== way.expects(one)) surprises.push(`${caseText(one)}: ${came}`);
      }
    }
    return surprises;
  }

  /** A push of all at once, each forced as far as the client is concerned. */
  pushes(): Way {
    const to = { create: 'third', update: 'third', force: 'other', delete: '' };
    return {
      name: 'push',
      takes: () => true,
      expects: ({ answer }) => answer,
      try: async (who, repo, deeds) => {
        const refspecs = deeds.map(({ act, ref }) => `+${to[act]}:${ref}`);
        const words = ['push', '--porcelain', who.url(repo), ...refspecs];
        const { stdout } = await who.git(words, { cwd: this.work });
        return porcelain(stdout);
      },
    };
  }

  /** A merge of the commit that an update leads to, by the server itself. */
  merges(): Way {
    return {
      name: 'merge',
      takes: isUpdateOfBranch,
      expects: ({ answer }) => answer,
      try: async (who, repo, deeds) => {
        const results = new Map<string, string | undefined>();
        for (const { ref } of deeds) {
          const into = ref.slice('refs/heads/'.length);
          const { status, stderr } = await who.ssh(['merge', repo, 'source', '--into', into]);
          results.set(ref, status === 0 ? undefined : stderr);
        }
        return results;
      },
    };
  }

  /** Taking back one's own last change, or as an admin the creation by another. */
  undos(): Way {
    return {
      name: 'undo',
      takes: ({ act, who }) => act !== 'delete' || who === 'ow' || who === 'ad',
      expects: ({ undo }) => undo,
      try: async (who, repo, deeds) => {
        const results = new Map<string, string | undefined>();
        for (const { ref } of deeds) {
          const words = ['repo', 'undo', repo, ref, '--yes'];
          const { status, stderr } = await who.ssh(words);
          results.set(ref, status === 0 ? undefined : stderr);
        }
        return results;
      },
    };
  }

  /** The same merge, asked for by the option of a push that brings the commit on a branch of its own. */
  options(): Way {
    return {
      name: 'push option',
      takes: isUpdateOfBranch,
      expects: ({ answer }) => answer,
      try: async (who, repo, deeds) => {
        const results = new Map<string, string | undefined>();
        for (const { ref } of deeds) {
          const option = `merge=${ref.slice('refs/heads/'.length)}`;
          const own = `third:refs/heads/own-${who.name}-${results.size}`;
          const words = ['push', '-o', option, who.url(repo), own];
          const { stderr } = await who.git(words, { cwd: this.work });
          const merged = /^remote: \S+: fast-forward with /m.test(stderr);
          results.set(ref, merged ? undefined : stderr);
        }
        return results;
      },
    };
  }
}

function isUpdateOfBranch({ act, ref }: Case): boolean {
  return act === 'update' && full(ref).startsWith('refs/heads/');
}

function deedOf({ act, ref }: Case): Deed {
  return { act, ref: full(ref) };
}

export function full(ref: string): string {
  return ref.startsWith('refs/') ? ref : `refs/heads/${ref}`;
}

export function caseText({ who, act, ref, answer }: Case): string {
  return `${who} ${act} ${ref} ${answer}`;
}

/** An organization in which everybody of the table is what it says. */
async function found(house: House, org: string): Promise<void> {
  const lines = [
    `org create ${org}`,
    `org member add ${org} ow --role owner`,
    `org member add ${org} ad --role admin`,
    `org member add ${org} te`,
    `org team add ${org} devs te`,
    ...['wr', `team:${org}/devs`, 'org:guests'].map(
      (who) => `org access grant ${org} ${who} write`,
    ),
  ];
  for (const line of lines) await must(house, line);
}

async function must(house: House, line: string): Promise<void> {
  const { status, stderr } = await house.admin.ssh(line.split(' '));
  if (status !== 0) throw new Error(`${line}: ${stderr}`);
}

/** What git said of each ref. */
export function porcelain(stdout: string): Map<string, string | undefined> {
  const lines = stdout.matchAll(/^(.)\t[^:]*:(\S+)\t(.*)$/gm);
  return new Map(
    [...lines].map(([, flag, ref = '', said = '']) => [
      ref,
      flag === '!' ? (/\((.*)\)$/.exec(said)?.[1] ?? said) : undefined,
    ]),
  );
}

/** A reason as the table writes it. */
function answerOf(results: Map<string, string | undefined>, ref: string, repo: string): string {
  if (!results.has(ref)) return 'nothing was said of it';
  const why = results.get(ref);
  if (why === undefined) return 'ok';
  if (why === 'the default branch can not be deleted') return 'default';
  const [, number, place] = /refused by rule (\d+) of (\S+) \(/.exec(why) ?? [];
  if (place === repo) return `r${number}`;
  return place === `org:${repo.split('/')[0]}` ? `o${number}` : why;
}
