import { createHash, randomUUID } from 'node:crypto';
import Sqlite from 'better-sqlite3';

/** What of made-up entries a test sets. */
export interface MadeUp {
  readonly at: string;
  readonly principal: string;
  readonly address: string;
  readonly action: string;
  readonly targetId?: string;
}

/**
 * Appends requests that never were to the record of a database that nobody has open: for each an opening and a closing
 * row, chained as cpm does it.
 *
 * @param entry - what the request of this number is, counted from 0
 */
export function addToRecord(path: string, count: number, entry: (index: number) => MadeUp): void {
  const db = new Sqlite(path);
  const insert = db.prepare(`INSERT INTO audit VALUES (${Array(15).fill('?').join(', ')})`);
  const head = db.prepare('SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1').get();
  let { seq, hash } = (head ?? { seq: 0, hash: '0'.repeat(64) }) as { seq: number; hash: string };
  db.transaction(() => {
    for (let index = 0; index < count; index += 1) {
      const { at, principal, address, action, targetId = null } = entry(index);
      const request = randomUUID();
      for (const phase of ['open', 'close']) {
        seq += 1;
        const about = phase === 'close' ? targetId : null;
        const [target, outcome] = ['acme/app', phase === 'close' ? 'ok' : 'open'];
        const from = [null, null, address, 'ssh'];
        const fields = [at, phase, request, principal, ...from, action, target, about];
        const columns = [...fields, outcome, '{}'];
        hash = createHash('sha256')
          .update(JSON.stringify([hash, seq, ...columns]))
          .digest('hex');
        insert.run(seq, ...columns, hash);
      }
    }
  })();
  db.close();
}
