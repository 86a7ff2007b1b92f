/** The tables of change logs: this server's own, and what is followed of others'. */
export interface LogTables {
  log_dirty: { rank: number; subject: string };
  log_entry: {
    seq: number;
    term: number;
    epoch: number;
    at: string;
    previous: string;
    subject: string;
    body: string | null;
    body_hash: string;
    hash: string;
    signature: string;
  };
  log_subject: { subject: string; seq: number; body_hash: string };
  log_reader: { server_id: string; seq: number; at: string };
  log_history: { repo_id: string; last_id: number };
  following: {
    server_id: string;
    identities: number;
    origin: string;
    sign_key: string;
    term: number;
    epoch: number;
    seq: number;
    hash: string;
    heard_at: string | null;
    error: string | null;
    since: string;
  };
  followed: {
    server_id: string;
    remote_id: string;
    kind: 'user' | 'org';
    called: string;
    local_id: string;
    ours: number;
    epoch: number;
  };
  followed_wish: {
    server_id: string;
    rank: number;
    subject: string;
    body: string | null;
    error: string | null;
  };
  followed_audit_head: {
    server_id: string;
    seq: number;
    hash: string;
    at: string;
    signature: string;
  };
}
