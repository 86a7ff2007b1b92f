import { UserError } from '../model/errors.ts';
import { parseRepoPath } from '../model/repo.ts';
import { readMoment } from '../model/units.ts';
import type { AuditEntry } from '../store/audit.ts';
import { anything, boolean, integer, maybe, object, string, time } from './answers.ts';
import { type Context, command, list } from './command.ts';

const listAudit = list({
  words: 'audit list',
  summary: 'Who did what, newest first',
  examples: [
    'audit list --limit 20',
    'audit list --user ana --since 30d',
    'audit list --repo acme/app',
  ],
  args: {
    user: { type: 'string', format: 'name', description: "one user's requests" },
    repo: { type: 'string', format: 'repo', description: 'requests about one repository' },
    key: { type: 'string', format: 'fingerprint', description: 'requests signed by one key' },
    address: { type: 'string', format: 'text', description: 'requests from one address' },
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
  run: async ({ core, granted }, args) => {
    const now = new Date();
    return auditRows(core, {
      principal: args.user && `user:${args.user}`,
      targetId: granted.repo?.id,
      key: args.key,
      address: args.address,
      action: args.action,
      since: args.since && readMoment(args.since, now, 'ago'),
      until: args.until && readMoment(args.until, now, 'ago'),
      limit: args.limit ?? 100,
    });
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

async function* auditRows(
  core: Context['core'],
  filter: Parameters<Context['core']['audit']['list']>[0],
) {
  for (const entry of await core.audit.list(filter)) yield toRow(entry);
}

function toRow(entry: AuditEntry) {
  const { seq, at, principal, door, action, outcome, detail } = entry;
  const { key = null, address = null, target = null } = entry;
  return { seq, at, principal, key, address, door, action, target, outcome, detail };
}

const verify = command({
  words: 'audit verify',
  summary: 'Check that no row of the record was changed, and none cut off behind a head you kept',
  examples: ['audit verify'],
  args: { head: { type: 'string', format: 'text', description: 'SEQ:HASH, noted earlier' } },
  answer: object({
    ok: boolean,
    rows: integer,
    head: string,
    first_bad: { type: ['integer', 'null'] },
  }),
  needs: () => ({ need: 'site-admin' }),
  run: async ({ core }, args) =>
    core.audit.verify(args.head === undefined ? undefined : readHead(args.head)),
  text: (found) =>
    found.ok
      ? `The record is whole: ${found.rows} rows, head ${found.head}`
      : `The record is broken at row ${found.first_bad}; ${found.rows} rows before it are whole.`,
});

function readHead(text: string): { seq: number; hash: string } {
  const [, seq, hash] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text) ?? [];
  if (seq !== undefined && hash !== undefined) return { seq: Number(seq), hash };
  throw new UserError('usage', 'a head is SEQ:HASH, as audit verify prints it');
}

export const auditCommands = [listAudit, verify];
