import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { House } from '../support/house.ts';
import type { Person } from '../support/person.ts';
import type { Answer } from '../support/process.ts';

/** What a scene needs. */
export interface World {
  readonly house: House;
  /** A user with an email of her own. */
  readonly ana: Person;
  /** A member of acme, who may read. */
  readonly bo: Person;
}

/** A server with ana and bo in acme, who may read there. */
export async function openWorld(t: { teardown(close: () => unknown): void }): Promise<World> {
  const house = await House.open(t, { shares: true });
  const ana = await house.stranger('ana');
  const bo = await house.person('bo');
  const email = ['--key', ana.key.publicPath, '--email', 'ana@acme.example'];
  await house.operator(['user', 'add', 'ana', ...email]);
  for (const line of ['org create acme', 'org member add acme ana', 'org member add acme bo'])
    await house.operator(line);
  return { house, ana, bo };
}

/** A repository of acme's with main and topic, ana's work tree of it, and what she does there. */
export class Scene {
  readonly name: string;
  readonly base: string;
  readonly #world: World;
  /** The work tree. */
  readonly cwd: string;

  private constructor(
    world: World,
    { name, cwd, base }: { name: string; cwd: string; base: string },
  ) {
    this.#world = world;
    this.name = name;
    this.cwd = cwd;
    this.base = base;
  }

  /** @param name - of the repository in acme; no other scene of the world may have it */
  static async open(world: World, name: string): Promise<Scene> {
    const { house, ana } = world;
    const full = `acme/${name}`;
    await house.admin.ssh(`init ${full}`);
    await house.admin.ssh(`repo access grant ${full} ana write`);
    const cwd = await ana.worktree(name);
    const started = new Scene(world, { name: full, cwd, base: '' });
    await started.git('remote', 'add', 'origin', ana.url(full));
    const base = await started.commit({ a: 'one\ntwo\nthree\n', b: 'b\n' }, 'base');
    await started.git('push', '-q', 'origin', 'main', 'main:topic');
    return new Scene(world, { name: full, cwd, base });
  }

  /** @throws with what git said, when it fails */
  async git(...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.tries(...args);
    if (status !== 0) throw new Error(`git ${args.join(' ')}: ${stderr}`);
    return stdout.trim();
  }

  tries(...args: string[]): Promise<Answer> {
    return this.#world.ana.git(args, { cwd: this.cwd });
  }

  /** @param files - text by name */
  async commit(files: Readonly<Record<string, string>>, message: string): Promise<string> {
    for (const [file, text] of Object.entries(files)) writeFileSync(join(this.cwd, file), text);
    await this.git('add', '-A');
    await this.git('commit', '-q', '--allow-empty', '-m', message);
    return this.git('rev-parse', 'HEAD');
  }

  /** Both sides get a commit, from the base on; main is checked out then. */
  async diverge(
    ours: Readonly<Record<string, string>>,
    theirs: Readonly<Record<string, string>>,
  ): Promise<{ main: string; topic: string }> {
    const main = await this.commit(ours, 'ours');
    await this.git('checkout', '-q', '-B', 'topic', this.base);
    const topic = await this.commit(theirs, 'theirs');
    await this.git('push', '-q', '-f', 'origin', 'main', 'topic');
    await this.git('checkout', '-q', 'main');
    return { main, topic };
  }

  /** Where a ref is on the server; empty where it is not. */
  async onServer(ref: string): Promise<string> {
    return (await this.git('ls-remote', 'origin', ref)).split('\t')[0] ?? '';
  }

  /** What lies on the server's disk of it: files of objects, and what is on its way in. */
  files(): readonly string[] {
    const { dataDir } = this.#world.house;
    return [join(dataDir, 'repositories', `${this.name}.git`, 'objects'), join(dataDir, 'incoming')]
      .flatMap((folder) => readdirSync(folder, { recursive: true, encoding: 'utf8' }))
      .sort();
  }
}
