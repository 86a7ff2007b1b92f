import { isIP, SocketAddress } from 'node:net';
import { type AuditQuestion, auditEntries } from '../core/audit-list.ts';
import { addressPrefix } from '../core/failed-sign-ins.ts';
import { headName, readHead } from '../model/audit-head.ts';
import { parseRepoPath } from '../model/repo.ts';
import { readMoment } from '../model/units.ts';
import type { AuditEntry } from '../store/audit-search.ts';
import { anything, boolean, integer, maybe, object, string, time } from './answers.ts';
import { type Context, command, lines, list } from './command.ts';

const listAudit = list({
  words: 'audit list',
  summary: 'Who did what, newest first',
  examples: [
    'audit list --limit 20',
    'audit list --user ana --since 30d',
    'audit list --repo acme/app --action git-upload-pack --since 30d',
    'audit list --address 192.0.2.7',
  ],
  args: {
    user: { type: 'string', format: 'name', description: "one user's requests" },
    repo: { type: 'string', format: 'repo', description: 'requests about one repository' },
    key: { type: 'string', format: 'fingerprint', description: 'requests signed by one key' },
    address: {
      type: 'string',
      format: 'address',
      description:
        'requests from one address, failed sign-ins of its network too; or a network, as shown',
    },
    action: {
      type: 'string',
      format: 'text',
      description: 'sign-in, git-receive-pack, "user add" …',
    },
    since: { type: 'string', format: 'moment', description: '30d, or a time' },
    until: { type: 'string', format: 'moment', description: '1d, or a time' },
    limit: { type: 'integer', minimum: 1, description: '100 unless told' },
  },
  row: object({
    seq: integer,
    at: time,
    principal: string,
    key: maybe,
    address: maybe,
    door: string,
    action: string,
    target: maybe,
    outcome: string,
    detail: anything,
  }),
  columns: ['SEQ', 'AT', 'PRINCIPAL', 'ADDRESS', 'ACTION', 'TARGET', 'OUTCOME'],
  needs: (args) =>
    args.repo === undefined
      ? { need: 'site-admin' }
      : { need: 'repo', path: parseRepoPath(args.repo), right: 'admin' },
  target: (args) => args.repo,
  run: async ({ core, granted, signal }, args) => {
    const now = new Date();
    const question: AuditQuestion = {
      principals: args.user === undefined ? undefined : await principalsOf(core, args.user),
      targetId: granted.repo?.id,
      key: args.key,
      addresses: args.address === undefined ? undefined : addressesOf(args.address),
      action: args.action,
      since: args.since && readMoment(args.since, now, 'ago'),
      until: args.until && readMoment(args.until, now, 'ago'),
      limit: args.limit ?? 100,
    };
    return auditRows(auditEntries(core, question, signal));
  },
  cells: (row) => [
    String(row.seq),
    row.at,
    row.principal,
    row.address ?? '',
    row.action,
    row.target ?? '',
    row.outcome,
  ],
});

/** A user under every name that was the user's. */
async function principalsOf({ store }: Context['core'], name: string): Promise<readonly string[]> {
  return (await store.names.allOfOwner(name)).map((each) => `user:${each}`);
}

/** An address, and the network under which its failed sign-ins are counted; a network is meant by itself. */
function addressesOf(text: string): readonly string[] {
  const family = isIP(text) === 6 ? 'ipv6' : 'ipv4';
  if (isIP(text) === 0) return [text];
  // The record has every address in its one shortest spelling.
  const { address } = new SocketAddress({ address: text, family });
  return [address, addressPrefix(address)];
}

async function* auditRows(entries: AsyncIterable<AuditEntry>) {
  for await (const entry of entries) yield toRow(entry);
}

function toRow(entry: AuditEntry) {
  const { seq, at, principal, door, action, outcome, detail } = entry;
  const { key = null, address = null, target = null } = entry;
  return { seq, at, principal, key, address, door, action, target, outcome, detail };
}

const verify = command({
  words: 'audit verify',
  summary: 'Check that no row of the record was changed, and none cut off behind a head you kept',
  examples: ['audit verify', 'audit verify --head SEQ:HASH'],
  args: { head: { type: 'string', format: 'head', description: 'SEQ:HASH, noted earlier' } },
  answer: object({
    ok: boolean,
    rows: integer,
    head: string,
    first_bad: { type: ['integer', 'null'] },
  }),
  needs: () => ({ need: 'site-admin' }),
  run: async ({ core, note }, args) => {
    const found = await core.chain.verify(
      args.head === undefined ? undefined : readHead(args.head),
    );
    await noteCheckpoint(core, note);
    return found;
  },
  text: (found) =>
    found.ok
      ? `The record is whole: ${found.rows} rows, head ${found.head}`
      : `The record is broken at row ${found.first_bad}; ${found.rows} rows before it are whole.`,
});

/** Says where the chain begins, once rows were dropped. */
async function noteCheckpoint(core: Context['core'], note: Context['note']): Promise<void> {
  const checkpoint = await core.chain.checkpoint();
  if (checkpoint === undefined) return;
  note(`rows up to ${checkpoint.seq} were dropped; the chain goes on from ${headName(checkpoint)}`);
}

const exportAudit = lines({
  words: 'audit export',
  summary: 'Every row of the record as it is chained, oldest first, one JSON object a line',
  examples: ['audit export > audit.jsonl'],
  args: {},
  row: object({
    seq: integer,
    at: time,
    phase: string,
    request: string,
    principal: string,
    principal_id: maybe,
    key: maybe,
    address: maybe,
    door: string,
    action: string,
    target: maybe,
    target_id: maybe,
    outcome: string,
    detail: string,
    hash: string,
  }),
  needs: () => ({ need: 'site-admin' }),
  run: async ({ core, note, signal }) => {
    await noteCheckpoint(core, note);
    return core.chain.rows(signal);
  },
});

export const auditCommands = [listAudit, verify, exportAudit];
