import { UserError } from '../model/errors.ts';
import { fingerprint, type PublicKey } from '../model/sshkey.ts';
import type { Context } from './command.ts';

/** Whoever ends the key that they signed in with gets so long to read the answer. */
const ownSessionMs = 500;

/** Ends what keys have open; in a dry run, nothing. */
export function endKeys({ core, by }: Context, keyIds: readonly string[], why: UserError): void {
  if (by.dryRun) return;
  const { keyId: own } = by;
  core.sessions.endKeys(
    keyIds.filter((id) => id !== own),
    why,
  );
  if (own === undefined || !keyIds.includes(own)) return;
  core.sessions.endKeyAt(own, new Date(Date.now() + ownSessionMs).toISOString(), why);
}

/** Ends what a key has open at the moment that another key is to have taken its place. */
export function endKeyAt(
  context: Context,
  { keyId, at }: { keyId: string; at: string },
  why: UserError,
): void {
  if (context.by.dryRun) return;
  if (Date.parse(at) <= Date.now()) endKeys(context, [keyId], why);
  else context.core.sessions.endKeyAt(keyId, at, why);
}

/** Told to whoever is connected with a key whose place another one took. */
export const replaced = new UserError('denied', 'another key took the place of this one', {
  hint: 'sign in with the new key',
});

/** The operator, a site admin and the key that signed this request are believed; all others have to prove possession (S4). */
export function needsNoProof({ granted, principal }: Context, { blob }: PublicKey): boolean {
  const { standing } = granted;
  if (standing.siteAdmin || standing.kind === 'operator') return true;
  return 'fingerprint' in principal && principal.fingerprint === fingerprint(blob);
}
