import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { KeyPair } from '../support/person.ts';
import { must } from '../support/process.ts';
import type { Ruled, Side, Sides } from './side.ts';

/** Something that both servers are asked to do, in turns. */
export interface Case {
  readonly name: string;
  readonly rounds: number;
  /** How often `run` does it; times are shown for one. */
  readonly times: number;
  /** What must be there before, and is not measured. */
  before?(side: Side, round: number): Promise<void>;
  run(side: Side, round: number): Promise<void>;
  /** What must be gone after, and is not measured. */
  after?(side: Side, round: number): Promise<void>;
  /** The repository whose refs must be equal on both sides when a round has ended. */
  repo(round: number): string;
}

const everything = ['refs/heads/*:refs/heads/*', 'refs/tags/*:refs/tags/*'];

/** The repository that both sides hold from the start on. */
export const big = 'big';

/** Pushes all branches and tags of a repository. */
export async function pushAll(side: Side, source: string, repo: string): Promise<void> {
  await side.git(['push', '-q', side.url(repo), ...everything], source);
}

/** @param source - a bare repository, the one that both sides hold as `big` */
export function cases({ folder, key, rules }: Sides, source: string, branch: string): Case[] {
  const lsRemote = async (side: Side) => {
    await side.git(['ls-remote', '-q', side.url(big)]);
  };
  const clone = (side: Side) => join(folder, `clone-${side.name}`);
  const commits = new Map<number, string>();
  return [
    {
      name: 'ls-remote, one at a time',
      rounds: 9,
      times: 10,
      repo: () => big,
      run: async (side) => {
        for (let n = 0; n < 10; n += 1) await lsRemote(side);
      },
    },
    {
      name: 'ls-remote, 120 at 8 at once',
      rounds: 5,
      times: 120,
      repo: () => big,
      run: async (side) => {
        const inTurn = async () => {
          for (let n = 0; n < 15; n += 1) await lsRemote(side);
        };
        await Promise.all(Array.from({ length: 8 }, inTurn));
      },
    },
    {
      name: 'push of one commit',
      rounds: 9,
      times: 1,
      repo: () => big,
      before: async (_side, round) => {
        // The same commit for both sides, so that their refs stay equal.
        const parent = commits.get(round - 1) ?? branch;
        if (!commits.has(round)) commits.set(round, await commit(source, parent, round));
      },
      run: async (side, round) => {
        const oid = commits.get(round) ?? '';
        await side.git(['push', '-q', side.url(big), `${oid}:refs/heads/bench`], source);
      },
    },
    ...rules.map((what) => ruledPush(what, { source, branch, key })),
    {
      name: 'clone of everything',
      rounds: 5,
      times: 1,
      repo: () => big,
      run: async (side) => {
        await side.git(['clone', '-q', '--bare', side.url(big), clone(side)]);
      },
      after: async (side) => {
        rmSync(clone(side), { recursive: true });
      },
    },
    {
      name: 'push of everything',
      rounds: 5,
      times: 1,
      repo: (round) => `push-${round}`,
      before: (side, round) => side.create(`push-${round}`),
      run: (side, round) => pushAll(side, source, `push-${round}`),
    },
  ];
}

/** A push of one commit to a branch under a rule: the first is told by git itself, the second takes a look at objects. */
function ruledPush(
  what: Ruled,
  { source, branch, key }: { source: string; branch: string; key: KeyPair },
): Case {
  const names = { forward: 'that only moves forward', signed: 'of signed commits' };
  const repo = `ruled-${what}`;
  const commits = new Map<number, string>();
  const made = new Set<string>();
  return {
    name: `push of one commit to a branch ${names[what]}`,
    rounds: 9,
    times: 1,
    repo: () => repo,
    before: async (side, round) => {
      if (!made.has(side.name)) {
        made.add(side.name);
        await side.create(repo);
        await side.git(['push', '-q', side.url(repo), `${branch}:refs/heads/bench`], source);
        await side.rule(repo, what);
      }
      if (commits.has(round)) return;
      const signedBy = what === 'signed' ? key : undefined;
      const parent = commits.get(round - 1) ?? branch;
      commits.set(round, await commit(source, parent, round, signedBy));
    },
    run: async (side, round) => {
      const oid = commits.get(round) ?? '';
      await side.git(['push', '-q', side.url(repo), `${oid}:refs/heads/bench`], source);
    },
  };
}

async function commit(
  source: string,
  parent: string,
  round: number,
  signedBy?: KeyPair,
): Promise<string> {
  const who = { NAME: 'bench', EMAIL: 'bench@example.org', DATE: `${1_800_000_000 + round} +0000` };
  const env = Object.fromEntries(
    ['AUTHOR', 'COMMITTER'].flatMap((role) =>
      Object.entries(who).map(([key, value]) => [`GIT_${role}_${key}`, value]),
    ),
  );
  const signing = ['-c', 'gpg.format=ssh', '-c', `user.signingKey=${signedBy?.privatePath}`];
  const args = ['commit-tree', '-m', `round ${round}`, '-p', parent, `${parent}^{tree}`];
  const all = signedBy === undefined ? args : [...signing, ...args, '-S'];
  return (await must('git', all, { cwd: source, env })).stdout.trim();
}
