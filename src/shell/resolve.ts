import type { Command } from '../commands/command.ts';
import { greeting } from '../commands/greeting.ts';
import { help, later, laterFlags } from '../commands/index.ts';
import { version } from '../commands/version.ts';
import { repoPathText } from '../model/repo.ts';
import { peerTransfers, transfers } from '../transfer/index.ts';
import { type RsyncPlan, readPeoplesRsync } from '../transfer/rsync-people.ts';
import type { PeerPlan, Plan, Transfer } from '../transfer/transfer.ts';
import type { Globals } from './flags.ts';
import { type Parsed, parse } from './parse.ts';
import type { Request } from './request.ts';

/** What a request's words mean: a git transfer, or a command with its checked arguments. */
export type Resolved =
  | {
      readonly kind: 'transfer';
      readonly plan: Plan;
      readonly action: string;
      readonly target: string;
    }
  | {
      readonly kind: 'peer';
      readonly plan: PeerPlan;
      readonly action: string;
      readonly target: undefined;
    }
  | {
      readonly kind: 'rsync';
      readonly plan: RsyncPlan;
      readonly action: string;
      readonly target: string;
    }
  | {
      readonly kind: 'command';
      readonly command: Command;
      readonly args: Readonly<Record<string, unknown>>;
      readonly globals: Globals;
      readonly action: string;
      readonly target: string | undefined;
      readonly habit: string | undefined;
    };

/** @throws UserError `usage`; looks nothing up */
export function resolve(request: Request, tree: { commands: readonly Command[] }): Resolved {
  const plan = request.door === 'local' ? undefined : planOf(request.words);
  if (plan !== undefined) {
    return { kind: 'transfer', plan, action: plan.action, target: repoPathText(plan.path) };
  }
  if (isPeoplesRsync(request)) {
    const asked = readPeoplesRsync(request.words.slice(1));
    return { kind: 'rsync', plan: asked, action: asked.action, target: repoPathText(asked.path) };
  }
  const peer = request.door === 'local' ? undefined : peerPlanOf(request.words);
  if (peer !== undefined) {
    return { kind: 'peer', plan: peer, action: peer.action, target: undefined };
  }
  const parsed = parse(
    request.words,
    { commands: tree.commands, later, laterFlags },
    request.directory === undefined,
  );
  const { globals, habit } = parsed;
  const chosen = choose(parsed);
  return {
    kind: 'command',
    ...chosen,
    globals,
    action: chosen.command.words,
    target: chosen.command.target(chosen.args),
    habit,
  };
}

function choose({ globals, command, args, topic }: Parsed): Pick<Parsed, 'args'> & {
  command: Command;
} {
  if (globals.version) return { command: version, args: {} };
  if (globals.help) return { command: help, args: { command: topic } };
  return { command: command ?? greeting, args };
}

function planOf(words: readonly string[]): Plan | undefined {
  const rest = words.slice(words[0] === 'git' ? 2 : 1);
  return transferOf(words)?.plan(rest);
}

function peerPlanOf([program, ...rest]: readonly string[]): PeerPlan | undefined {
  return peerTransfers.find((each) => each.program === program)?.plan(rest);
}

/** Whether somebody's own rsync is at the other end; what servers ask of each other is another thing (S24). */
export function isPeoplesRsync({ door, words, principal }: Request): boolean {
  return door !== 'local' && words[0] === 'rsync' && principal.kind !== 'server';
}

/** The git program that words ask for, whatever follows. `git upload-pack` and `git-upload-pack` are one. */
function transferOf([first = '', second = '']: readonly string[]): Transfer | undefined {
  const dashed = first === 'git' ? `git-${second}` : first;
  return transfers.find(({ program }) => program === dashed);
}

/** The name of the git program that a client wants to talk to, also where it asks wrongly; undefined for a command. */
export function gitProgram({ door, words }: Request): string | undefined {
  return door === 'local' ? undefined : transferOf(words)?.program;
}
