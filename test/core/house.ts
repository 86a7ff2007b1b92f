import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Test } from 'tap';
import { loadConfig } from '../../src/config.ts';
import { type Core, openCore } from '../../src/core/core.ts';
import { beginHouse, finishHouse } from '../../src/core/house.ts';
import { createLog } from '../../src/log.ts';
import type { Repository } from '../../src/store/repositories.ts';
import { actor } from '../store/actor.ts';
import { must } from '../support/process.ts';

const identity = { NAME: 'ada', EMAIL: 'ada@example.org', DATE: '2026-01-01T00:00:00Z' };
const env = Object.fromEntries(
  Object.entries(identity).flatMap(([name, value]) =>
    ['AUTHOR', 'COMMITTER'].map((role) => [`GIT_${role}_${name}`, value]),
  ),
);

/** A data directory of ada's, on which a core is opened, dies and is opened again. */
export class House {
  readonly dataDir: string;
  core!: Core;
  readonly #folder: string;
  readonly #t: Test;

  private constructor(t: Test) {
    this.#t = t;
    this.#folder = t.testdir();
    this.dataDir = join(this.#folder, 'data');
  }

  static async open(t: Test): Promise<House> {
    const house = new House(t);
    await beginHouse(house.dataDir);
    await finishHouse(house.dataDir);
    await house.#start();
    await house.core.store.users.add({ name: 'ada', admin: true }, actor());
    return house;
  }

  async #start(): Promise<void> {
    const variables = { HOME: this.#folder, CPM_DATA_DIR: this.dataDir };
    const core = await openCore(await loadConfig({ flags: {} }, variables), createLog('silent'));
    this.core = core;
    this.#t.teardown(() => core.close().catch(() => undefined));
  }

  /** The process ends without a word: what is on disk is what there is. The next one begins with it. */
  async crash(): Promise<void> {
    await this.core.store.close();
    await this.#start();
  }

  async create(name: string): Promise<Repository> {
    const namespace = await this.core.store.names.find('ada');
    if (namespace === undefined) throw new Error('ada is gone');
    await this.core.repos.create({ namespace, name }, actor());
    return this.repository(name);
  }

  async repository(name: string): Promise<Repository> {
    const repo = await this.find(name);
    if (repo === undefined) throw new Error(`${name} is gone`);
    return repo;
  }

  async find(name: string): Promise<Repository | undefined> {
    const namespace = await this.core.store.names.find('ada');
    return this.core.store.repositories.byName(namespace?.ownerId ?? '', name);
  }

  /** Runs git in a repository. @returns what it said */
  async git(repo: Repository, ...args: string[]): Promise<string> {
    const cwd = this.core.repos.directory(repo);
    const { stdout } = await must('git', args, { cwd, env, stdin: '' });
    return stdout.trim();
  }

  /** A commit in the repository that no ref leads to. */
  async commit(repo: Repository, message: string, ...parents: string[]): Promise<string> {
    const tree = await this.git(repo, 'mktree');
    const from = parents.flatMap((parent) => ['-p', parent]);
    return this.git(repo, 'commit-tree', '-m', message, ...from, tree);
  }

  /** What the record opens for a request that changes something. */
  async record(action: string, target: string): Promise<void> {
    const request = randomUUID();
    const asked = { principal: { kind: 'operator' }, address: undefined, door: 'local' } as const;
    await this.core.audit.open({ ...asked, request, action, target }, true);
  }
}
