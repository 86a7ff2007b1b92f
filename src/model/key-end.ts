const dayMs = 86_400_000;
const warnedMs = 14 * dayMs;

/**
 * What to tell somebody whose key ends within 14 days; undefined while there is time.
 *
 * @param key - `expiresAt` in ISO 8601, null for a key without an end
 */
export function endWarning(
  key: { readonly fingerprint: string; readonly expiresAt: string | null },
  now: Date,
): string | undefined {
  if (key.expiresAt === null) return undefined;
  const leftMs = Date.parse(key.expiresAt) - now.getTime();
  if (leftMs > warnedMs) return undefined;
  const days = Math.floor(leftMs / dayMs);
  const left = days < 1 ? 'within a day' : `in ${days} ${days === 1 ? 'day' : 'days'}`;
  return `your key ends ${left} (${key.expiresAt}); put a new one in its place with: sshkey rotate ${key.fingerprint} --key - < NEW.pub`;
}
