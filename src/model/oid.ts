/** Whether a word is an object id as git writes it: 40 lowercase hex digits. */
export function isOid(word: string): boolean {
  return /^[0-9a-f]{40}$/.test(word);
}

/** An oid as people read it: its first seven digits. */
export function shortOid(oid: string): string {
  return oid.slice(0, 7);
}
