import { join } from 'node:path';
import type { House } from '../support/house.ts';
import type { Person, Words } from '../support/person.ts';
import type { Answer, GitDeed, PublicKey, Stage } from './stage.ts';
import type { Who } from './table.ts';

const programs: Readonly<Record<GitDeed, string>> = {
  clone: 'git-upload-pack',
  push: 'git-receive-pack',
  archive: 'git-upload-archive',
};

/** Who has nothing any more is not even signed in: the door itself says what is a 4 elsewhere. */
const notLetIn = /^cpm@127\.0\.0\.1: Permission denied \(publickey\)\.\s*$/m;

/** How a client's own status says which refusal it was told. */
const tellings: readonly [RegExp, number][] = [
  [/^fatal: remote error: cpm: \S+: no such repository, or not yours to see \(you are /m, 3],
  [/^fatal: remote error: cpm: \S+: you may [a-z ]+, not [a-z ]+ \([\w:+/]+, .+\)$/m, 4],
  [/ \(this deploy key writes only ci\/\*\)$/m, 4],
  [/^fatal: remote error: cpm: \S+: the repository is archived, /m, 4],
  [notLetIn, 4],
];

/** A running server, asked through the real OpenSSH client; git is the real one too. */
export class OpenSsh implements Stage {
  readonly databasePath: string;
  readonly #house: House;
  readonly #people = new Map<Who, Person>();
  /** Who has been given a key, by its fingerprint. */
  readonly #holders = new Map<string, Person>();
  #keys = 0;
  #branches = 0;
  #work = '';

  constructor(house: House) {
    this.#house = house;
    this.databasePath = join(house.dataDir, 'cpm.db');
  }

  root(words: readonly string[], stdin?: string): Promise<Answer> {
    return this.#house.operator(words, { stdin });
  }

  ask(who: Who, words: readonly string[], stdin?: string): Promise<Answer> {
    if (who === 'op') return this.#house.operator(words, { stdin });
    return ssh(this.#person(who), words, stdin);
  }

  async git(who: Who, deed: GitDeed, repo: string, branch?: string): Promise<Answer> {
    // The operator is on the machine: git's programs are no commands of the operator's.
    if (who === 'op') return this.#house.operator([programs[deed], repo]);
    const person = this.#person(who);
    if (this.#work === '') this.#work = await this.#house.admin.worktree();
    this.#branches += 1;
    const url = person.url(repo);
    const ref = `refs/heads/${branch ?? `branch-${this.#branches}`}`;
    const deeds: Readonly<Record<GitDeed, readonly string[]>> = {
      clone: ['clone', '-q', url, join(person.home, `clone-${this.#branches}`)],
      push: ['push', '-q', url, `HEAD:${ref}`],
      archive: ['archive', `--remote=${url}`, '--output=/dev/null', 'HEAD'],
    };
    const answer = await person.git(deeds[deed], { cwd: this.#work });
    if (answer.status === 0) return answer;
    const told = tellings.find(([telling]) => telling.test(answer.stderr))?.[1];
    return { ...answer, status: told ?? answer.status };
  }

  async makeKey(who: Who): Promise<PublicKey> {
    this.#keys += 1;
    const person = await this.#house.stranger(`${who}-${this.#keys}`);
    this.#holders.set(person.key.fingerprint, person);
    return { line: `${person.key.line}\n`, fingerprint: person.key.fingerprint };
  }

  async use(who: Who, key: PublicKey): Promise<void> {
    const person = this.#holders.get(key.fingerprint);
    if (person === undefined) throw new Error(`a key of ${who}'s that was never made`);
    this.#people.set(who, person);
  }

  #person(who: Who): Person {
    const person = this.#people.get(who);
    if (person === undefined) throw new Error(`${who} does not come by this way`);
    return person;
  }
}

async function ssh(person: Person, words: Words, stdin?: string): Promise<Answer> {
  const answer = await person.ssh(words, { stdin });
  return answer.status === 255 && notLetIn.test(answer.stderr) ? { ...answer, status: 4 } : answer;
}
