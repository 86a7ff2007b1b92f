import type { Generated } from 'kysely';
import type { PeerRole, PeerState } from '../model/peer.ts';
import type { Visibility } from '../model/repo.ts';
import type { Grantable, Right, Role } from '../model/right.ts';
import type { LogTables } from './log-tables.ts';
import type { SyncTables } from './sync-tables.ts';

/** Booleans are 0 and 1, times ISO 8601 UTC, ids UUIDs; `migrations/` says the rest. */
export interface Tables extends LogTables, SyncTables {
  meta: { key: string; value: string };
  namespace: { name: string; kind: 'user' | 'org'; owner_id: string; current: number };
  user: {
    id: string;
    name: string;
    state: 'active' | 'disabled' | 'deleted';
    admin: number;
    email: string | null;
    created_at: string;
    last_seen_at: string | null;
  };
  ssh_key: {
    id: string;
    fingerprint: string;
    type: string;
    blob: Buffer;
    title: string;
    kind: 'user' | 'deploy';
    user_id: string | null;
    verified: number;
    challenge: string | null;
    expires_at: string | null;
    added_at: string;
    added_by: string;
    added_by_key: string | null;
    last_used_at: string | null;
    revoked_at: string | null;
    replaces: string | null;
    overlap_ms: number | null;
  };
  org: { id: string; name: string; description: string; member_right: Right; created_at: string };
  org_member: { org_id: string; user_id: string; role: Role };
  team: { id: string; org_id: string; name: string };
  team_member: { team_id: string; user_id: string };
  repository: {
    id: string;
    namespace_id: string;
    name: string;
    description: string;
    visibility: Visibility;
    default_branch: string;
    archived: number;
    size_bytes: number;
    ref_count: number;
    created_at: string;
    updated_at: string;
    deleted_at: string | null;
    deleted_by: string | null;
    untidy: Generated<number>;
    tidied_at: string | null;
    repacked_at: string | null;
    prune_at: string | null;
  };
  redirect: { namespace_id: string; name: string; repo_id: string };
  alias: { path: string; repo_id: string; added_by: string; added_at: string };
  move_journal: {
    subject_id: string;
    kind: 'repo' | 'namespace';
    from_path: string;
    to_path: string;
  };
  access_grant: {
    id: string;
    on_kind: 'repo' | 'org';
    on_id: string;
    who_kind: 'user' | 'team' | 'org' | 'server' | 'key';
    who_id: string;
    right: Grantable;
    granted_by: string;
    granted_at: string;
    refs: string | null;
    granted_by_key: string | null;
  };
  ref_rule: {
    on_id: string;
    number: number;
    on_kind: 'repo' | 'org';
    pattern: string;
    deny: string;
    closed: number;
    signed: number;
    max_file_bytes: number | null;
  };
  ref_rule_allow: {
    on_id: string;
    number: number;
    who_kind: 'user' | 'team' | 'org' | 'server' | 'key' | 'right';
    who_id: string;
  };
  ref_rule_count: { on_id: string; given: number };
  change: {
    seq: Generated<number>;
    at: string;
    type: string;
    principal: string;
    request: string;
    repo_id: string | null;
    subject_id: string | null;
    detail: string;
  };
  ref_update: {
    id: Generated<number>;
    repo_id: string;
    ref: string;
    old_oid: string;
    new_oid: string;
    at: string;
    principal: string;
    key_id: string | null;
    action: string;
    request: string;
    /** Whether it left a value that can't be reached from the new one. */
    forced: Generated<number>;
    /** Whether the new value was purged since. */
    purged: Generated<number>;
    /** Whether it happened under an earlier lead of this server, and the one that leads now did not tell of it. */
    aside: Generated<number>;
  };
  ref_value: { repo_id: string; ref: string; oid: string };
  purge: {
    repo_id: string;
    oid: string;
    request: string;
    principal: string;
    key_id: string | null;
    at: string;
    done: number;
  };
  push_journal: {
    request: string;
    ref: string;
    repo_id: string;
    old_oid: string;
    new_oid: string;
    principal: string;
    key_id: string | null;
    action: string;
    creates: number;
  };
  archived_tip: { repo_id: string; oid: string; ref: string; archived_at: string };
  audit: {
    seq: number;
    at: string;
    phase: 'open' | 'close' | 'note';
    request: string;
    principal: string;
    principal_id: string | null;
    key: string | null;
    address: string | null;
    door: string;
    action: string;
    target: string | null;
    target_id: string | null;
    outcome: string;
    detail: string;
    hash: string;
  };
  open_request: { request: string; seq: number };
  audit_signed_head: {
    id: Generated<number>;
    at: string;
    seq: number;
    hash: string;
    signature: string;
  };
  audit_checkpoint: { seq: number; hash: string; at: string; signature: string };
  server: {
    id: string;
    name: string;
    role: PeerRole;
    url: string | null;
    host_key: string | null;
    host_key_line: string | null;
    bandwidth: number | null;
    state: PeerState;
    error: string | null;
    latency_ms: number | null;
    checked_at: string | null;
    house_id: string | null;
    added_at: string;
    added_by: string;
  };
  server_key: {
    id: string;
    server_id: string;
    fingerprint: string;
    type: string;
    blob: Buffer;
    added_at: string;
    expires_at: string | null;
  };
  server_invitation: {
    id: string;
    name: string;
    role: PeerRole;
    fingerprint: string;
    blob: Buffer;
    expires_at: string;
    invited_at: string;
    invited_by: string;
  };
  server_host_key: { server_id: string; fingerprint: string; line: string; announced_at: string };
  own_key: {
    fingerprint: string;
    kind: 'sign-in' | 'host';
    path: string;
    until: string;
    statement: string | null;
  };
  own_key_told: { server_id: string; fingerprint: string; told_at: string };
  server_link: {
    server_id: string;
    repo_id: string;
    remote_id: string | null;
    born_there: number;
    linked_at: string;
    gives: Generated<number>;
    takes: Generated<number>;
    comes_back: Generated<number>;
  };
  lead: {
    server_id: string;
    state: 'draining' | 'giving' | 'lost' | 'taken' | 'followed';
    origin: string;
    term: number;
    recalled: number;
    at: string;
  };
  mirror_namespace: { owner_id: string; server_id: string };
  sync_run: {
    id: string;
    server_id: string;
    repo_id: string;
    direction: 'out' | 'in';
    transport: 'none' | 'rsync' | 'tar';
    result: string;
    refs_updated: number;
    refs_conflicted: number;
    bytes_sent: number;
    bytes_received: number;
    bytes_total: number;
    program: string | null;
    error: string | null;
    started_at: string;
    ended_at: string;
  };
  sync_conflict: {
    id: string;
    repo_id: string;
    server_id: string;
    server: string;
    ref: string;
    kind: string;
    local_oid: string;
    remote_oid: string;
    base_oid: string;
    state: 'open' | 'resolved' | 'closed';
    opened_at: string;
    ended_at: string | null;
    ended_by: string | null;
    resolution: string | null;
    /** Whether its refs are still there. */
    kept: Generated<number>;
    /** Whether it holds what a main had alone when this server took over from it. */
    recalled: Generated<number>;
  };
  neighbor: {
    id: string;
    name: string;
    fingerprint: string;
    blob: Buffer;
    told_name: string;
    version: string;
    address: string;
    port: number;
    ssh_port: number;
    public_repositories: number;
    server_id: string | null;
    seen_at: string;
    added_by: string;
  };
  neighbor_copy: { repo_id: string; neighbor_id: string; path: string };
}
