import { Access } from './access.ts';
import { Aliases } from './aliases.ts';
import { AuditLog } from './audit.ts';
import { AuditHeads } from './audit-heads.ts';
import { AuditSearch } from './audit-search.ts';
import { ChangeEntries } from './change-entries.ts';
import { ChangeLog } from './change-log.ts';
import { newId } from './changes.ts';
import { Conflicts } from './conflicts.ts';
import { DeployKeys } from './deploy-keys.ts';
import { Digests } from './digests.ts';
import { Following } from './following.ts';
import { Invitations } from './invitations.ts';
import { Keys } from './keys.ts';
import { LeadSwitch } from './lead-switch.ts';
import { Leads } from './leads.ts';
import { Likeness } from './likeness.ts';
import { Moves } from './moves.ts';
import { Names } from './names.ts';
import { Neighbors } from './neighbors.ts';
import { Orgs } from './orgs.ts';
import { OwnKeys } from './own-keys.ts';
import { Paths } from './paths.ts';
import { Purges } from './purges.ts';
import { Pushes } from './pushes.ts';
import { RefBirths } from './ref-births.ts';
import { RefHistory } from './ref-history.ts';
import { Repositories } from './repositories.ts';
import { Restored } from './restored.ts';
import { RefRules } from './rules.ts';
import { ServerKeys } from './server-keys.ts';
import { ServerLinks } from './server-links.ts';
import { Servers } from './servers.ts';
import { type Database, openDatabase } from './sqlite.ts';
import { SyncMarks } from './sync-marks.ts';
import { SyncPeers } from './sync-peers.ts';
import { Syncs } from './syncs.ts';
import { Teams } from './teams.ts';
import { Trash } from './trash.ts';
import { Upkeep } from './upkeep.ts';
import { Usage } from './usage.ts';
import { UserImport } from './user-import.ts';
import { Users } from './users.ts';
import { Wishes } from './wishes.ts';

/** Everything cpm knows, by subject. Each method is one fact: atomic, and durable when it returns. */
export interface Store {
  readonly users: Users;
  readonly imports: UserImport;
  readonly keys: Keys;
  readonly deployKeys: DeployKeys;
  readonly orgs: Orgs;
  readonly teams: Teams;
  readonly names: Names;
  readonly repositories: Repositories;
  readonly paths: Paths;
  readonly aliases: Aliases;
  readonly moves: Moves;
  readonly trash: Trash;
  readonly upkeep: Upkeep;
  readonly usage: Usage;
  readonly access: Access;
  readonly pushes: Pushes;
  readonly history: RefHistory;
  readonly births: RefBirths;
  readonly purges: Purges;
  readonly rules: RefRules;
  readonly audit: AuditLog;
  readonly auditHeads: AuditHeads;
  readonly auditSearch: AuditSearch;
  readonly changes: ChangeLog;
  readonly servers: Servers;
  readonly serverKeys: ServerKeys;
  readonly ownKeys: OwnKeys;
  readonly invitations: Invitations;
  readonly restored: Restored;
  readonly serverLinks: ServerLinks;
  readonly neighbors: Neighbors;
  readonly syncs: Syncs;
  readonly digests: Digests;
  readonly syncMarks: SyncMarks;
  readonly syncPeers: SyncPeers;
  readonly conflicts: Conflicts;
  readonly entries: ChangeEntries;
  readonly following: Following;
  readonly leads: Leads;
  readonly leadSwitch: LeadSwitch;
  readonly likeness: Likeness;
  readonly wishes: Wishes;
  /** The data directory's own id, made once; children carry it in their environment. */
  readonly houseId: string;
  /** Copies the database as of one moment, while it is in use. @param to - absolute path of a new file */
  copy(to: string): Promise<void>;
  /** What SQLite finds wrong with the database; empty for a whole one. */
  check(): readonly string[];
  close(): Promise<void>;
}

/**
 * @param path - the database file, absolute
 * @param seen - hears every SQL text that runs
 */
export async function openStore(path: string, seen?: (sql: string) => void): Promise<Store> {
  const { db, copy, check, close } = openDatabase(path, seen);
  const houseId = await ensureHouseId(db);
  return {
    users: new Users(db),
    imports: new UserImport(db),
    keys: new Keys(db),
    deployKeys: new DeployKeys(db),
    orgs: new Orgs(db),
    teams: new Teams(db),
    names: new Names(db),
    repositories: new Repositories(db),
    paths: new Paths(db),
    aliases: new Aliases(db),
    moves: new Moves(db),
    trash: new Trash(db),
    upkeep: new Upkeep(db),
    usage: new Usage(db),
    access: new Access(db),
    pushes: new Pushes(db),
    history: new RefHistory(db),
    births: new RefBirths(db, houseId),
    purges: new Purges(db),
    rules: new RefRules(db),
    audit: new AuditLog(db),
    auditHeads: new AuditHeads(db),
    auditSearch: new AuditSearch(db),
    changes: new ChangeLog(db),
    servers: new Servers(db),
    serverKeys: new ServerKeys(db),
    ownKeys: new OwnKeys(db),
    invitations: new Invitations(db),
    restored: new Restored(db),
    serverLinks: new ServerLinks(db),
    neighbors: new Neighbors(db),
    syncs: new Syncs(db),
    digests: new Digests(db),
    syncMarks: new SyncMarks(db),
    syncPeers: new SyncPeers(db),
    conflicts: new Conflicts(db),
    entries: new ChangeEntries(db, houseId),
    following: new Following(db),
    leads: new Leads(db),
    leadSwitch: new LeadSwitch(db),
    likeness: new Likeness(db),
    wishes: new Wishes(db),
    houseId,
    copy,
    check,
    close,
  };
}

async function ensureHouseId(db: Database): Promise<string> {
  await db
    .insertInto('meta')
    .values({ key: 'house_id', value: newId() })
    .onConflict((on) => on.column('key').doNothing())
    .execute();
  const row = await db
    .selectFrom('meta')
    .select('value')
    .where('key', '=', 'house_id')
    .executeTakeFirstOrThrow();
  return row.value;
}
