import { fingerprint, type PublicKey, parsePublicKey } from './sshkey.ts';
import { verifySshSignature } from './sshsig.ts';

/** The namespaces of the two signatures (S20): none of them can stand for another, or for a sign-in. */
export const hostNewsNamespace = 'cpm-host-key';
export const signInNewsNamespace = 'cpm-sign-in-key';

/** A server's next host key, said by the one before. */
export interface HostNews {
  /** The id of the server's data directory. */
  readonly house: string;
  /** The host key before it, as `TYPE BASE64`: whoever has it pinned can believe the rest. */
  readonly old: string;
  /** The next one, likewise. */
  readonly line: string;
  /** SSHSIG by the old one. */
  readonly signature: string;
}

/** A server's new key to sign in with elsewhere. */
export interface SignInNews {
  readonly house: string;
  /** Fingerprints of those before it. */
  readonly old: readonly string[];
  /** The new one, as `TYPE BASE64`. */
  readonly line: string;
  /** ISO 8601: none of the others counts any longer. */
  readonly until: string;
  /** SSHSIG by the new one: its private half is there. */
  readonly proof: string;
}

/** What the old host key signs. */
export function hostNewsText({ house, old, line }: Omit<HostNews, 'signature'>): string {
  return `cpm host key\nhouse ${house}\nold ${old}\nnew ${line}\n`;
}

/** What the new key to sign in with signs. */
export function signInNewsText({ house, old, line, until }: Omit<SignInNews, 'proof'>): string {
  return `cpm sign-in key\nhouse ${house}\nold ${old.join(' ')}\nnew ${line}\nuntil ${until}\n`;
}

/**
 * Reads news of a host key, which may be anything.
 *
 * @param house - the id of the data directory that it must be of; undefined where that is not known yet
 * @param pinned - fingerprints that are taken already
 * @returns the new key, if one of those says so; else undefined
 */
export function readHostNews(
  news: Readonly<Record<string, unknown>>,
  { house, pinned }: { house: string | undefined; pinned: readonly string[] },
): PublicKey | undefined {
  const { old, line, signature } = news;
  const said = houseIn(news, house);
  if (said === undefined || typeof old !== 'string' || typeof line !== 'string') return undefined;
  const { blob } = readLine(old) ?? {};
  const key = readLine(line);
  if (blob === undefined || key === undefined || !pinned.includes(fingerprint(blob))) {
    return undefined;
  }
  const message = hostNewsText({ house: said, old, line });
  const signed = { blob, namespace: hostNewsNamespace, message };
  return verifySshSignature(String(signature), signed) ? key : undefined;
}

/**
 * Reads news of a key to sign in with, which may be anything.
 *
 * @param known - fingerprints that the server signs in with now
 * @returns the new key, if it is proven to be in the place of one of those; else undefined
 */
export function readSignInNews(
  news: Readonly<Record<string, unknown>>,
  { house, known }: { house: string | undefined; known: readonly string[] },
): (Pick<SignInNews, 'old' | 'until'> & { readonly key: PublicKey }) | undefined {
  const { old, line, until, proof } = news;
  const said = houseIn(news, house);
  if (said === undefined || !Array.isArray(old)) return undefined;
  if (typeof line !== 'string' || typeof until !== 'string') return undefined;
  const key = readLine(line);
  const follows = key && [...old, fingerprint(key.blob)].some((each) => known.includes(each));
  if (key === undefined || !follows) return undefined;
  if (!Number.isFinite(Date.parse(until))) return undefined;
  const prints = old.map(String);
  const message = signInNewsText({ house: said, old: prints, line, until });
  const signed = { blob: key.blob, namespace: signInNewsNamespace, message };
  return verifySshSignature(String(proof), signed) ? { key, old: prints, until } : undefined;
}

/** The data directory that news are of, if it may be that one. */
function houseIn(news: Readonly<Record<string, unknown>>, wanted: string | undefined) {
  const said = String(news['house']);
  return wanted === undefined || said === wanted ? said : undefined;
}

function readLine(line: string): PublicKey | undefined {
  try {
    return parsePublicKey(line);
  } catch {
    // Whatever is wrong with it: it is no key.
    return undefined;
  }
}
