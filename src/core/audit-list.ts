import type { AuditEntry, AuditFilter, Moment } from '../store/audit-search.ts';
import type { Store } from '../store/store.ts';
import type { Audit } from './audit.ts';

/** What of the record is asked for. */
export interface AuditQuestion extends AuditFilter {
  /** The most entries. */
  readonly limit: number;
}

const firstRows = 1000;
const pageRows = 500;
/** A look-up that took less makes the next one twice as large, one that took more half as large. */
const quickMs = 4;
const slowMs = 12;

/**
 * Entries of the record, newest first, what was counted or queued until now among them. They are looked up in pieces
 * of some milliseconds, with the loop's other work in between (S17).
 */
export async function* auditEntries(
  { store, audit }: { store: Store; audit: Audit },
  { limit, ...filter }: AuditQuestion,
  signal: AbortSignal,
): AsyncGenerator<AuditEntry> {
  await audit.settle();
  const pages = selective(filter) ? byNumber(store, filter, limit) : byTime(store, filter);
  let left = limit;
  for await (const page of pages) {
    for (const entry of page) {
      if (left === 0) return;
      left -= 1;
      yield entry;
    }
    if (left === 0 || signal.aborted) return;
    await new Promise(setImmediate);
  }
}

/** Whether an index finds what is asked for, in the order of numbers. */
function selective({ since, until, action, ...others }: AuditFilter): boolean {
  const named = Object.values(others).some((value) => value !== undefined);
  return named || (since ?? until) === undefined;
}

async function* byNumber(
  { audit, auditSearch }: Store,
  filter: AuditFilter,
  limit: number,
): AsyncGenerator<readonly AuditEntry[]> {
  let { seq: upTo } = await audit.head();
  let rows = firstRows;
  while (upTo > 0) {
    const above = Math.max(upTo - rows, 0);
    const began = performance.now();
    const found = await auditSearch.within({ above, upTo }, filter, limit);
    const tookMs = performance.now() - began;
    if (tookMs < quickMs) rows *= 2;
    else if (tookMs > slowMs) rows = Math.max(Math.floor(rows / 2), 1);
    upTo = above;
    yield found;
  }
}

async function* byTime(
  { auditSearch }: Store,
  { action, ...time }: AuditFilter,
): AsyncGenerator<readonly AuditEntry[]> {
  let last: Moment | undefined;
  for (;;) {
    const page = await auditSearch.before(last, time, pageRows);
    last = page.at(-1);
    if (last === undefined) return;
    yield action === undefined ? page : page.filter((entry) => entry.action === action);
  }
}
