import { rmSync, writeFileSync } from 'node:fs';
import type { KeyPair, Person } from './person.ts';
import { type Answer, must } from './process.ts';

/** @returns what was printed. @throws with what was said, unless it is done */
export async function done(answer: Promise<Answer>): Promise<string> {
  const { status, stdout, stderr } = await answer;
  if (status !== 0) throw new Error(`status ${status}: ${stderr}`);
  return stdout;
}

/** @see done */
export const asJson = async (answer: Promise<Answer>) => JSON.parse(await done(answer));

/** What ssh-keygen signs for `sshkey verify`. @param asked - the answer of that command as JSON */
export async function signatureFor(asked: string, key: KeyPair): Promise<string> {
  const file = `${key.privatePath}.challenge`;
  writeFileSync(file, JSON.parse(asked).challenge);
  // It never writes over a signature that is there.
  rmSync(`${file}.sig`, { force: true });
  await must('ssh-keygen', ['-Y', 'sign', '-n', 'cpm-key', '-f', key.privatePath, file]);
  return (await must('cat', [`${file}.sig`])).stdout;
}

/** Signs what `sshkey verify` asks `by` for, as its message says. */
export async function proofOf(by: Person, key: KeyPair): Promise<string> {
  const asked = by.ssh(`sshkey verify ${key.fingerprint} --json`, { stdin: '' });
  return signatureFor(await done(asked), key);
}

/** Puts a pending key in force. @returns what `sshkey verify` answered */
export async function verifyKey(by: Person, key: KeyPair): Promise<unknown> {
  const stdin = await proofOf(by, key);
  return asJson(by.ssh(`sshkey verify ${key.fingerprint} --json`, { stdin }));
}
