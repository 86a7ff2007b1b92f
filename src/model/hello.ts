import type { Signer } from './signer.ts';
import { checkBlob, fingerprint } from './sshkey.ts';
import { verifySshSignature } from './sshsig.ts';

/*
 * The protocol of neighbors, spoken on TCP 9418 beside git's own.
 *
 * Each message is one pkt-line: a word that begins with `cpm-`, a blank, and a JSON object. Fields that one side does
 * not know are left alone by it, so that each may grow; a question that a server does not know is answered with
 * `cpm-error {"code","message","protocols":[1]}`, and nothing is taken amiss.
 *
 *   caller: cpm-hello {"protocol":1,"oldest":1,"nonce":"64 hex digits"}
 *   server: cpm-hello {"protocol":1,"name","version","ssh_port","status","public_repositories","key","nonce"}
 *   server: cpm-signature {"signature":"SSHSIG"}
 *
 * `protocol` is the newest that a caller speaks, `oldest` the oldest; a server answers in the newest that both do.
 * `key` is the blob of the server's signing key in base64. The signature is SSHSIG in the namespace `cpm-hello` over
 *
 *   cpm hello, answer of a server\nto <the caller's nonce>\n<the answer's whole packet>
 *
 * so that it fits one question, one role and one answer. It proves who holds the key, and nothing about the address.
 *
 * A caller may then ask more on the same connection:
 *
 *   caller: cpm-names {"key","signature"}
 *   server: cpm-names {"names":[…],"more":false}, cpm-signature {…}
 *
 * The names of public repositories, for confirmed neighbors alone: the caller signs in the namespace `cpm-names` over
 * `cpm names, question of a caller\nto <the server's nonce>\n<fingerprint of the server's key>\n`; the server signs its
 * answer like a hello, in the same namespace. `cpm-pair` is in pairing.ts.
 */

/** The newest and the oldest protocol that this version speaks. */
export const protocol = 1;

/** The longest packets of questions and answers, in bytes. */
export const longestQuestion = 16 * 1024;
export const longestAnswer = 64 * 1024;

/** Exactly so many random bytes are asked to be signed with (S20). */
export const nonceBytes = 32;

/** What a server says of itself. All texts are its own claims. */
export interface Hello {
  readonly name: string;
  readonly version: string;
  readonly sshPort: number;
  readonly status: string;
  readonly publicRepositories: number;
  /** The blob of its signing key. */
  readonly key: Buffer;
  /** For the caller to sign, in hexadecimal. */
  readonly nonce: string;
}

/** One message, read. */
export interface Message {
  readonly word: string;
  readonly fields: Readonly<Record<string, unknown>>;
  /** The packet's text, which is what is signed. */
  readonly text: string;
}

export function isQuestion(payload: Buffer): boolean {
  return payload.subarray(0, 4).toString('latin1') === 'cpm-';
}

/** @returns undefined for what is no message */
export function readMessage(payload: Buffer): Message | undefined {
  const text = payload.toString('utf8');
  const [, word, json] = /^(cpm-[a-z-]{1,32}) (\{.*\})\n?$/s.exec(text) ?? [];
  if (word === undefined || json === undefined) return undefined;
  try {
    const fields: unknown = JSON.parse(json);
    if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) return undefined;
    return { word, fields: fields as Record<string, unknown>, text };
  } catch {
    return undefined;
  }
}

export function message(word: string, fields: Readonly<Record<string, unknown>>): Buffer {
  return Buffer.from(`${word} ${JSON.stringify(fields)}`);
}

/** The two sides of a signature: what it is for, and the bytes that it is over. */
type Use = 'hello' | 'names';

const answerText = (use: Use, nonce: string, text: string) =>
  `cpm ${use}, answer of a server\nto ${nonce}\n${text}`;
const questionText = (nonce: string, server: Buffer) =>
  `cpm names, question of a caller\nto ${nonce}\n${fingerprint(server)}\n`;

/** An answer with the signature that follows it. @param nonce - the caller's */
export function signedAnswer(signer: Signer, use: Use, nonce: string, answer: Buffer): Buffer[] {
  const signature = signer.sign(`cpm-${use}`, answerText(use, nonce, String(answer)));
  return [answer, message('cpm-signature', { signature })];
}

/** Whether an answer was signed for this nonce by a key. */
export function isSignedAnswer(
  use: Use,
  { key, nonce, text, signature }: { key: Buffer; nonce: string; text: string; signature: unknown },
): boolean {
  if (typeof signature !== 'string') return false;
  const about = { blob: key, namespace: `cpm-${use}`, message: answerText(use, nonce, text) };
  return verifySshSignature(signature, about);
}

/** A caller's proof to a server: who it is. @param nonce - the server's */
export function signedQuestion(signer: Signer, nonce: string, server: Buffer): string {
  return signer.sign('cpm-names', questionText(nonce, server));
}

export function isSignedQuestion(
  signature: string,
  { key, nonce, server }: { key: Buffer; nonce: string; server: Buffer },
): boolean {
  const about = { blob: key, namespace: 'cpm-names', message: questionText(nonce, server) };
  return verifySshSignature(signature, about);
}

/** @returns 64 hexadecimal digits, exactly 32 bytes; undefined for anything else */
export function readNonce(value: unknown): string | undefined {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value) ? value : undefined;
}

/** The blob of an ed25519 key, in base64; undefined for anything else: our signing keys are of no other kind. */
export function readKey(value: unknown): Buffer | undefined {
  if (typeof value !== 'string' || value.length > 200) return undefined;
  try {
    const { type, blob } = checkBlob(Buffer.from(value, 'base64'));
    return type === 'ssh-ed25519' ? blob : undefined;
  } catch {
    return undefined;
  }
}

const longestName = 63;

/** Reads a hello, every field of it a claim. @returns undefined where something lacks or is not what it should be */
export function readHello({ word, fields }: Message): Hello | undefined {
  const key = readKey(fields['key']);
  const nonce = readNonce(fields['nonce']);
  const port = fields['ssh_port'];
  const isPort = Number.isInteger(port) && Number(port) > 0 && Number(port) < 65536;
  if (word !== 'cpm-hello' || fields['protocol'] !== protocol) return undefined;
  if (key === undefined || nonce === undefined || !isPort) return undefined;
  const count = fields['public_repositories'];
  return {
    name: shortText(fields['name']),
    version: shortText(fields['version']),
    sshPort: Number(port),
    status: shortText(fields['status']),
    publicRepositories: Number.isSafeInteger(count) && Number(count) >= 0 ? Number(count) : 0,
    key,
    nonce,
  };
}

function shortText(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, longestName) : '';
}

/** `nb-` and the first 12 hexadecimal digits of the key's SHA-256: what a neighbor is called until it is confirmed (S23). */
export function neighborName(key: Buffer): string {
  const digest = Buffer.from(fingerprint(key).slice('SHA256:'.length), 'base64');
  return `nb-${digest.toString('hex').slice(0, 12)}`;
}
