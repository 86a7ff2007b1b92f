import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { loadConfig } from '../../src/config.ts';
import type { Core } from '../../src/core/core.ts';
import { writeFirstKeys } from '../../src/core/first-start.ts';
import { beginHouse, finishHouse } from '../../src/core/house.ts';
import { createLog } from '../../src/log.ts';
import { flushPkt, pkt } from '../../src/model/pktline.ts';
import type { Principal } from '../../src/model/principal.ts';
import { nullOid } from '../../src/model/ref.ts';
import { parsePublicKey } from '../../src/model/sshkey.ts';
import type { Request } from '../../src/shell/request.ts';
import { must } from '../support/process.ts';
import { deployKeys } from './key-table.ts';
import { type Answer, type GitDeed, looseKey, type PublicKey, type Stage } from './stage.ts';
import type { Who } from './table.ts';

/** The two functions that make a server without doors; those of the sources, or of a changed copy of them. */
export interface Built {
  openCore(config: Core['config'], log: Core['log']): Promise<Core>;
  createRun(core: Core): (request: Request) => Promise<number>;
}

/** One commit, and the pack that holds it. */
interface Seed {
  readonly oid: string;
  readonly pack: Buffer;
}

/** What somebody signs in as, and a commit to push: a stage on a copy of the same data directory needs the same. */
export interface Props {
  readonly principals: Map<Who, Principal>;
  readonly seed: Seed;
}

/** Makes an empty data directory. @param folder - an empty directory; one in it is for git's own needs */
export async function makeProps(folder: string): Promise<Props> {
  await beginHouse(join(folder, 'data'));
  await writeFirstKeys(await configOf(folder), { name: 'nobody', key: someKey });
  await finishHouse(join(folder, 'data'));
  return { principals: new Map(), seed: await makeSeed(join(folder, 'seed')) };
}

/** Whoever is asked about is made by a scenario: the first admin's key is in no file. */
const someKey = { ...parsePublicKey(looseKey().line), source: '', identityFile: undefined };

function configOf(folder: string): Promise<Core['config']> {
  return loadConfig({ flags: {} }, { HOME: folder, CPM_DATA_DIR: `${folder}/data` });
}

async function makeSeed(cwd: string): Promise<Seed> {
  const identity = { NAME: 'seed', EMAIL: 'seed@example.org', DATE: '2026-01-01T00:00:00Z' };
  const env = Object.fromEntries(
    Object.entries(identity).flatMap(([name, value]) =>
      ['AUTHOR', 'COMMITTER'].map((role) => [`GIT_${role}_${name}`, value]),
    ),
  );
  await must('git', ['init', '-q', cwd], { env });
  await must('git', ['commit', '-q', '--allow-empty', '-m', 'first'], { cwd, env });
  const oid = (await must('git', ['rev-parse', 'HEAD'], { cwd, env })).stdout.trim();
  const wanted = { cwd, env, stdin: `${oid}\n` };
  const { bytes } = await must('git', ['pack-objects', '--revs', '--stdout', '-q'], wanted);
  return { oid, pack: bytes };
}

/** A server without doors in this process: each question is one Request to the gate. */
export class InProcess implements Stage {
  readonly core: Core;
  readonly databasePath: string;
  readonly #run: ReturnType<Built['createRun']>;
  readonly #props: Props;
  #branches = 0;

  private constructor(core: Core, run: ReturnType<Built['createRun']>, props: Props) {
    this.core = core;
    this.databasePath = core.config.databasePath;
    this.#run = run;
    this.#props = props;
  }

  /** @param folder - one that `makeProps` was given, or a copy of it */
  static async open(folder: string, props: Props, built: Built): Promise<InProcess> {
    const config = await configOf(folder);
    const core = await built.openCore(config, createLog('error'));
    return new InProcess(core, built.createRun(core), props);
  }

  close(): Promise<void> {
    return this.core.close();
  }

  root(words: readonly string[], stdin?: string): Promise<Answer> {
    return this.ask('op', words, stdin);
  }

  async makeKey(): Promise<PublicKey> {
    return looseKey();
  }

  async use(who: Who, key: PublicKey): Promise<void> {
    if (Object.hasOwn(deployKeys, who)) return this.#useDeployKey(who, key);
    const user = await this.core.store.users.byName(who);
    const held = user && (await this.core.store.keys.ofUser(user.id, key.fingerprint));
    if (user === undefined || held === undefined) throw new Error(`${who} has no such key`);
    const { id, name } = user;
    const { fingerprint } = held;
    const principal = { kind: 'user', id, name, keyId: held.id, fingerprint } as const;
    this.#props.principals.set(who, principal);
  }

  async #useDeployKey(who: Who, { fingerprint }: PublicKey): Promise<void> {
    const [held] = await this.core.store.keys.withFingerprint(fingerprint);
    if (held === undefined) throw new Error(`there is no key of ${who}`);
    const principal = { kind: 'deploy-key', keyId: held.id, fingerprint } as const;
    this.#props.principals.set(who, principal);
  }

  async ask(who: Who, words: readonly string[], stdin = ''): Promise<Answer> {
    const { status, stdout, stderr } = await this.#request(who, words, Buffer.from(stdin));
    return { status, stdout: stdout.toString(), stderr: stderr.toString() };
  }

  /**
   * The real git on the server, and here what git's client would send it, at once: a want of the one commit there is,
   * a push of it to a new branch, or HEAD for an archive. A status of 0 counts when the answer is a whole success:
   * a pack, a report that says `ok`, an archive. 4 stands for a ref that a deploy key may not write, too.
   */
  async git(who: Who, deed: GitDeed, repo: string, branch?: string): Promise<Answer> {
    const { oid, pack } = this.#props.seed;
    this.#branches += 1;
    const ref = `refs/heads/${branch ?? `branch-${this.#branches}`}`;
    const forms: Readonly<Record<GitDeed, [string, Buffer[], string]>> = {
      clone: [
        'git-upload-pack',
        [pkt(`want ${oid} ofs-delta\n`), flushPkt, pkt('done\n')],
        '0008NAK\nPACK',
      ],
      push: [
        'git-receive-pack',
        [pkt(`${nullOid} ${oid} ${ref}\0 report-status`), flushPkt, pack],
        `ok ${ref}\n`,
      ],
      archive: ['git-upload-archive', [pkt('argument HEAD\n'), flushPkt], '0008ACK\n'],
    };
    const [program, input, success] = forms[deed];
    const answer = await this.#request(who, [program, repo], Buffer.concat(input));
    const stdout = answer.stdout.toString('latin1');
    const whole = answer.status !== 0 || stdout.includes(success);
    const byPattern = stdout.includes(`ng ${ref} this deploy key writes only `);
    const status = whole ? answer.status : byPattern ? 4 : -1;
    return { status, stdout, stderr: answer.stderr.toString() };
  }

  async #request(who: Who, words: readonly string[], input: Buffer) {
    const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
    const said = [buffer(stdout), buffer(stderr)] as const;
    stdin.end(input);
    const principal = this.#principal(who);
    const status = await this.#run({
      id: randomUUID(),
      door: principal.kind === 'operator' ? 'local' : 'ssh',
      principal,
      address: undefined,
      words,
      gitProtocol: undefined,
      stdio: { stdin, stdout, stderr },
      signal: new AbortController().signal,
      terminal: undefined,
      directory: principal.kind === 'operator' ? '/' : undefined,
    });
    stdout.end();
    stderr.end();
    return { status, stdout: await said[0], stderr: await said[1] };
  }

  #principal(who: Who): Principal {
    if (who === 'op') return { kind: 'operator' };
    if (who === 'an') return { kind: 'anonymous' };
    const principal = this.#props.principals.get(who);
    if (principal === undefined) throw new Error(`${who} never signed in`);
    return principal;
  }
}
