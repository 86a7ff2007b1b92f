import { type ChangeEntry, type LogPosition, logNamespace } from '../../model/change-entry.ts';
import type { Core } from '../core.ts';

/** Entries that one answer has at the most, and bytes of their bodies, but for the first. */
const pageEntries = 200;
const pageBytes = 4 * 1024 * 1024;

/** Makes signed entries of all that changed, in the background of whatever else goes on. */
export async function publish({ store, chain }: Core): Promise<LogPosition> {
  if (await store.entries.isDue()) {
    const signer = await chain.signer();
    const sign = (text: string) => signer.sign(logNamespace, text);
    while (await store.entries.publish(sign)) await new Promise(setImmediate);
  }
  return store.entries.head();
}

/** The blob of the key that signs this server's log, in base64. */
export async function signKeyOf({ chain }: Core): Promise<string> {
  return (await chain.signer()).publicKey.blob.toString('base64');
}

/** A page of this server's log. @param seq - the number of the last entry that is known */
export async function pageOf({ store }: Core, seq: number): Promise<readonly ChangeEntry[]> {
  const entries = await store.entries.after(seq, pageEntries);
  let bytes = 0;
  const over = entries.findIndex(({ body = '' }, at) => {
    bytes += body.length;
    return at > 0 && bytes > pageBytes;
  });
  return over === -1 ? entries : entries.slice(0, over);
}
