const dayMs = 86_400_000;
const warnedMs = 14 * dayMs;

/**
 * What to tell whoever signs in with a key that ends within 14 days; undefined while there is time.
 *
 * @param key - `expiresAt` in ISO 8601, null for a key without an end; `kind`: a person's, or a deploy key
 */
export function endWarning(
  key: {
    readonly fingerprint: string;
    readonly expiresAt: string | null;
    readonly kind: 'user' | 'deploy';
  },
  now: Date,
): string | undefined {
  if (key.expiresAt === null) return undefined;
  const leftMs = Date.parse(key.expiresAt) - now.getTime();
  if (leftMs > warnedMs) return undefined;
  const days = Math.floor(leftMs / dayMs);
  const left = days < 1 ? 'within a day' : `in ${days} ${days === 1 ? 'day' : 'days'}`;
  // A key puts none in force that lasts longer than itself, so that it can't prolong its own time.
  const [whose, who] =
    key.kind === 'deploy'
      ? ['this deploy', 'an admin puts']
      : ['your', 'another key of yours, or a site admin, puts'];
  return `${whose} key ends ${left} (${key.expiresAt}); ${who} a new one in its place with: sshkey rotate ${key.fingerprint} --key - < NEW.pub`;
}
