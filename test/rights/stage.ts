import { generateEd25519 } from '../../src/model/ed25519.ts';
import { fingerprint } from '../../src/model/sshkey.ts';
import type { Who } from './table.ts';

/** What came of a question. */
export interface Answer {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A public key: its line, and its `SHA256:…`. */
export interface PublicKey {
  readonly line: string;
  readonly fingerprint: string;
}

export type GitDeed = 'clone' | 'push' | 'archive';

/** A server, and a way to ask it as anybody; the table is played on it. It says nothing of doors. */
export interface Stage {
  /** The database's file, for what no command of this version can set. */
  readonly databasePath: string;
  /** Asks as somebody who may do everything; quicker than the operator where there is a choice. */
  root(words: readonly string[], stdin?: string): Promise<Answer>;
  ask(who: Who, words: readonly string[], stdin?: string): Promise<Answer>;
  /** @returns what git's client was told, as an exit status would say it, and its words */
  git(who: Who, deed: GitDeed, repo: string, branch?: string): Promise<Answer>;
  /** A key for somebody to sign with. */
  makeKey(who: Who): Promise<PublicKey>;
  /** From now on they sign with this key, which the server knows by now, whatever has become of it. */
  use(who: Who, key: PublicKey): Promise<void>;
}

/** A public key whose private half nobody has. */
export function looseKey(): PublicKey {
  const { publicLine, publicKey } = generateEd25519('loose');
  return { line: `${publicLine}\n`, fingerprint: fingerprint(publicKey.blob) };
}
