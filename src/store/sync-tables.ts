import type { Generated } from 'kysely';

/** What servers lack of each other, and what is remembered between two meetings. */
export interface SyncTables {
  repo_digest: { repo_id: string; digest: string; seq: number; disk: Generated<string> };
  /** What the creation of a ref is called that was taken from another server, and the value that it came with. */
  ref_birth: { repo_id: string; ref: string; oid: string; birth: string };
  sync_base: {
    server_id: string;
    repo_id: string;
    digest: string;
    refs: Buffer;
    agreed_at: string;
    /** Where the other's log ended when it told of these; empty for unknown. */
    epoch: Generated<string>;
    seq: Generated<number>;
  };
  sync_mark: {
    server_id: string;
    repo_id: string;
    direction: 'out' | 'in';
    seq: number;
    name: string;
    since: string;
    held: number;
    attempts: number;
    next_at: string;
    error: string | null;
  };
  sync_peer: {
    server_id: string;
    epoch: string;
    cursor: number;
    stamp: string;
    attempts: number;
    next_at: string;
    met_at: string | null;
  };
  sync_head: { server_id: string; repo_id: string; head: string };
}
