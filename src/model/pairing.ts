import { createHash } from 'node:crypto';
import { wordList } from './word-list.ts';

/*
 * Pairing, on a connection that said hello:
 *
 *   caller: cpm-pair {"step":"commit","from":{…},"commit":"64 hex digits"}
 *   server: cpm-pair {"step":"commit","from":{…},"commit":"64 hex digits"}
 *   caller: cpm-pair {"step":"reveal","nonce":"64 hex digits","signature":"SSHSIG"}
 *   server: cpm-pair {"step":"reveal","nonce":"64 hex digits","signature":"SSHSIG"}
 *
 * `from` is what each wants to be trusted with: name, SSH port, the blobs of its signing key, host key and sign-in key,
 * its beacon's port (0 for none), and the newest protocol of hello.ts that it speaks. The exchange itself is of the
 * protocol that the hello settled on; this is protocol 1. Since the words are made of both newest ones, too, nobody
 * between two newer servers can make them speak an older protocol unnoticed, and a newer protocol may change all below
 * the first commitments. Fields of `from` and of a step that one side does not know are left alone by it, and no part
 * of the words. A commitment is the SHA-256 of role, nonce and `from`: whoever stands between the two
 * has to choose nonces before seeing either, so that each attempt succeeds once in 2^66 (S21). Both then show six words
 * made of all of it, for people to compare; each signs the whole under its own role, so that nobody else can take its
 * part, nor turn its words back at it.
 */

/** The namespace of its signatures. */
export const pairingNamespace = 'cpm-pair';

export type PairingRole = 'caller' | 'server';

/** What a server wants to be trusted with; texts and numbers are its own claims. */
export interface Introduction {
  /** The newest that it speaks. */
  readonly protocol: number;
  readonly name: string;
  readonly sshPort: number;
  /** Of its beacon; 0 where it has none. */
  readonly port: number;
  /** Blobs, in base64. */
  readonly signKey: string;
  readonly hostKey: string;
  readonly signInKey: string;
}

/** One side's part of an exchange. */
export interface PairingPart {
  readonly from: Introduction;
  readonly commit: string;
  /** 64 hexadecimal digits. */
  readonly nonce: string;
}

type Fields = Readonly<Record<string, unknown>>;

/** @returns undefined where something lacks or is not what it should be */
export function readIntroduction(value: unknown): Introduction | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { protocol, name, sshPort, port, signKey, hostKey, signInKey } = value as Fields;
  const keys = [signKey, hostKey, signInKey];
  const ports = [sshPort, port];
  if (!Number.isSafeInteger(protocol) || Number(protocol) < 1) return undefined;
  if (typeof name !== 'string' || name.length > 63) return undefined;
  if (!keys.every((each) => typeof each === 'string' && each.length < 3000)) return undefined;
  if (!ports.every((each) => Number.isInteger(each) && Number(each) >= 0 && Number(each) < 65536)) {
    return undefined;
  }
  return { protocol, name, sshPort, port, signKey, hostKey, signInKey } as Introduction;
}

function introductionText(from: Introduction): string {
  const { protocol, name, sshPort, port, signKey, hostKey, signInKey } = from;
  return JSON.stringify([protocol, name, sshPort, port, signKey, hostKey, signInKey]);
}

/** What one side says before it sees the other's nonce. */
export function commitment(role: PairingRole, nonce: string, from: Introduction): string {
  const text = `cpm pairing, commitment of the ${role}\n${nonce}\n${introductionText(from)}\n`;
  return createHash('sha256').update(text).digest('hex');
}

interface Exchange {
  readonly caller: PairingPart;
  readonly server: PairingPart;
}

/** What each side signs at the end, as `role`. */
export function pairingText(role: PairingRole, { caller, server }: Exchange): string {
  const parts = [caller, server].map(
    ({ from, commit }) => `${introductionText(from)}\n${commit}\n`,
  );
  return `cpm pairing, words of the ${role}\n${parts.join('')}${role === 'caller' ? caller.nonce : server.nonce}\n`;
}

const wordCount = 6;
const bitsPerWord = 11;

/** The six words of an exchange: 66 bits of everything that was said in it. */
export function pairingWords({ caller, server }: Exchange): string {
  const parts = [caller, server].map(({ from, nonce }) => `${nonce}\n${introductionText(from)}\n`);
  const digest = createHash('sha256')
    .update(`cpm pairing, words\n${parts.join('')}`)
    .digest();
  const bits = BigInt(`0x${digest.toString('hex')}`);
  const words = Array.from({ length: wordCount }, (_, nth) => {
    const shift = BigInt(256 - bitsPerWord * (nth + 1));
    return wordList[Number((bits >> shift) & 2047n)];
  });
  return words.join(' ');
}

/** Words as a person types them: any case, any blanks or commas between them. */
export function plainWords(typed: string): string {
  return typed
    .toLowerCase()
    .split(/[^a-z]+/)
    .filter((word) => word !== '')
    .join(' ');
}
