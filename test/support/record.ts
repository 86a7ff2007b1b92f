import type { Audit } from '../../src/core/audit.ts';
import { AuditChain } from '../../src/core/audit-chain.ts';
import { type AuditQuestion, auditEntries } from '../../src/core/audit-list.ts';
import { createLog } from '../../src/log.ts';
import type { AuditEntry } from '../../src/store/audit-search.ts';
import type { Store } from '../../src/store/store.ts';

/** Looks into a record whose head nobody signs. */
export function recordOf(store: Store, audit: Audit) {
  const chain = new AuditChain({ store, audit, log: createLog('silent') }, '/nowhere');
  return {
    verify: (kept?: { seq: number; hash: string }) => chain.verify(kept),
    list: async (question: AuditQuestion): Promise<readonly AuditEntry[]> => {
      const found: AuditEntry[] = [];
      const { signal } = new AbortController();
      for await (const entry of auditEntries({ store, audit }, question, signal)) found.push(entry);
      return found;
    },
  };
}
