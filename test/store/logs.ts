import { genesis, type LogPosition } from '../../src/model/change-entry.ts';
import type { Repository } from '../../src/store/repositories.ts';
import type { Server } from '../../src/store/servers.ts';
import type { Store } from '../../src/store/store.ts';
import { actor } from './actor.ts';

const sign = () => 'signed';
const id = (digit: number) => `${digit}`.repeat(8);
const at = '2026-01-01T00:00:00.000Z';
const oid = (digit: number) => String(digit).repeat(40);

/** What a log may tell of, each kind, new and once more. */
function told(repo: Repository): readonly (readonly [subject: string, body: unknown])[] {
  const user = { names: ['old'], state: 'active', admin: 0, email: null, created_at: at, keys: [] };
  const key = {
    fingerprint: 'SHA256:k',
    type: 'ssh-ed25519',
    blob: 'AAAA',
    title: '',
    kind: 'user',
    user_id: id(1),
    expires_at: null,
    added_at: at,
    added_by: 'operator',
    added_by_key: null,
    revoked_at: null,
  };
  const org = { names: [], description: '', member_right: 'read', created_at: at };
  const update = { ref: 'refs/heads/x', at, principal: 'user:x', key_id: null, action: 'push' };
  const ends = { request: 'r', forced: 1, purged: 0, old_oid: oid(3), new_oid: oid(4), n: 1 };
  const grant = { id: id(5), on_kind: 'repo', who_kind: 'user', who_id: id(1), right: 'read' };
  const rule = { number: 1, on_kind: 'repo', pattern: '**', deny: 'force', closed: 0, signed: 0 };
  const granted = { granted_by: 'operator', granted_at: at, refs: null, granted_by_key: id(2) };
  const place = { namespace_id: id(3), namespace: 'newco', name: 'x', description: '' };
  const rest = { visibility: 'private', default_branch: 'main', archived: 0, created_at: at };
  const gone = { deleted_at: null, deleted_by: null };
  const paths = { redirects: [[id(3), 'y']], aliases: [['a/b/c', 'operator', at]] };
  return [
    [`user:${id(1)}`, { ...user, name: 'told', keys: ['SHA256:none'] }],
    [`user:${id(1)}`, { ...user, name: 'told2', state: 'disabled' }],
    [`user:${id(1)}`, { ...user, name: 'told2' }],
    [`user:${id(4)}`, { ...user, name: 'mirrored' }],
    [`user:${id(6)}`, { ...user, name: 'gone', state: 'deleted' }],
    [`key:${id(2)}`, key],
    [`key:${id(7)}`, { ...key, fingerprint: 'SHA256:l', added_by_key: id(2) }],
    [`key:${id(2)}`, { ...key, expires_at: at }],
    [`key:${id(2)}`, { ...key, revoked_at: at }],
    [`org:${id(3)}`, { ...org, name: 'newco' }],
    [`members:${id(3)}`, { members: [[id(1), 'owner']], teams: [[id(8), 'devs', [id(1)]]] }],
    [`members:${id(3)}`, { members: [], teams: [] }],
    [`repo:${repo.id}`, { ...place, ...rest, ...gone, ...paths }],
    [`grants:${repo.id}`, [{ ...grant, ...granted }]],
    [
      `rules:${repo.id}`,
      { given: 1, rules: [{ ...rule, max_file_bytes: null, allow: [['user', id(1)]] }] },
    ],
    [`history:${repo.id}`, { first: true, updates: [{ ...update, ...ends }] }],
    [`purge:${repo.id}:${oid(1)}`, { principal: 'user:x', at }],
    ['audit', { seq: 1, hash: oid(1), at, signature: 's' }],
    [`org:${id(3)}`, null],
  ];
}

/** Does once whatever the store can do about change logs, its own and another server's. */
export async function followLog(store: Store, server: Server, repo: Repository): Promise<void> {
  const { entries, following, wishes, orgs, serverLinks } = store;
  await entries.isDue();
  while (await entries.publish(sign));
  const head = await entries.head();
  await entries.after(0, 10);
  await entries.hashAt(1);
  await store.likeness.page('', 10);
  await store.likeness.history(repo.id);
  await entries.read(server.id, 0);
  await entries.behind();

  const signKey = 'AAAA';
  const breakGlass = id(9);
  await following.begin(server, { identities: true, signKey, position: head, breakGlass }, actor());
  await following.list();
  await orgs.add({ name: 'mirrored', description: '', ownerId: undefined }, actor());
  const mirror = await store.names.find('mirrored');
  await serverLinks.noteNamespace(mirror?.ownerId ?? '', server, actor());
  let position: LogPosition = { ...head, seq: 0, hash: genesis };
  for (const [subject, body] of told(repo)) {
    const place = { seq: position.seq + 1, term: 2, epoch: 1, at, previous: position.hash };
    const text = { body: JSON.stringify(body), bodyHash: '', signature: '' };
    const entry = { ...place, ...text, subject, hash: `${position.seq + 1}` };
    const by = { ...actor(), isImport: true } as const;
    position = (await following.take(server, position, { entries: [entry], by })).position;
  }
  await following.of(server.id);
  await wishes.any(server.id);
  const all = await wishes.of(server.id, 10);
  for (const wish of all) await wishes.refused(server.id, wish, 'why');
  for (const wish of all) await wishes.fulfilled(server.id, wish);
  await wishes.fulfilled(server.id, { rank: 5, subject: 'repo:x', body: undefined });
  const [, body] = told(repo).find(([subject]) => subject.startsWith('repo:')) ?? [];
  const by = { ...actor(), isImport: true } as const;
  await following.complete(server, repo.id, { body: body as never, by });
  await following.localId(server.id, id(1));
  await following.differing(server.id);
  await following.auditHead(server.id);
  await following.trimAuditHeads(server.id);
  await following.restart(server, 2, actor());
  await following.endUnknown(server, by);
  await following.hold(server, 'forked', actor());
}
