import { orgAccessCommands } from './access.ts';
import { auditCommands } from './audit.ts';
import { backupCommands } from './backup.ts';
import type { Command } from './command.ts';
import { createCompletion } from './completion.ts';
import { configCommands } from './config.ts';
import { conflictsCommands } from './conflicts.ts';
import { doctor } from './doctor.ts';
import { events } from './events.ts';
import { forcedCommands } from './forced.ts';
import { createHelp } from './help.ts';
import { history } from './history.ts';
import { init } from './init.ts';
import { list } from './list.ts';
import { merge } from './merge.ts';
import { neighborsCommands } from './neighbors.ts';
import { neighborsDiscover } from './neighbors-discover.ts';
import { neighborsSyncCommands } from './neighbors-sync.ts';
import { neighborsTrustCommands } from './neighbors-trust.ts';
import { offboard } from './offboard.ts';
import { orgCommands } from './org.ts';
import { ownerNameCommands } from './owner-names.ts';
import { carryCommands } from './push-pull.ts';
import { repoCommands } from './repo.ts';
import { repoNameCommands } from './repo-names.ts';
import { restart } from './restart.ts';
import { orgRulesCommands, repoRulesCommands } from './rules.ts';
import { serve } from './serve.ts';
import { serversCommands } from './servers.ts';
import { serversFollow } from './servers-follow.ts';
import { serversJoinCommands } from './servers-join.ts';
import { serversPromote } from './servers-promote.ts';
import { serversStatusCommands } from './servers-status.ts';
import { serversSyncCommands } from './servers-sync.ts';
import { serviceCommands } from './service.ts';
import { sessionsCommands } from './sessions.ts';
import { show } from './show.ts';
import { sshkeyCommands } from './sshkey.ts';
import { sshkeyElsewhereCommands } from './sshkey-elsewhere.ts';
import { status } from './status.ts';
import { teamCommands } from './team.ts';
import { trashCommands } from './trash.ts';
import { undo } from './undo.ts';
import { upkeepCommands } from './upkeep.ts';
import { userCommands } from './user.ts';
import { userImport } from './user-import.ts';
import { userRightsCommands } from './user-rights.ts';
import { whoami } from './whoami.ts';

/** The rest of the tree: its words are known, and answered with `not in this version`. */
export const later: readonly string[] = [];

/** Flags of commands that are there already, answered likewise. */
export const laterFlags: Readonly<Record<string, readonly string[]>> = {};

export const help: Command = createHelp(() => ({ commands, later }));

const completion = createCompletion(() => commands);

/** The command tree, in the order in which help shows it. */
export const commands: readonly Command[] = [
  init,
  list,
  show,
  whoami,
  help,
  merge,
  ...repoCommands,
  history,
  undo,
  ...repoNameCommands,
  ...repoRulesCommands,
  ...trashCommands,
  ...upkeepCommands,
  ...orgCommands,
  ...orgAccessCommands,
  ...orgRulesCommands,
  ...teamCommands,
  ...userCommands,
  userImport,
  ...userRightsCommands,
  ...ownerNameCommands,
  offboard,
  ...sshkeyCommands,
  ...sshkeyElsewhereCommands,
  ...carryCommands,
  ...serversCommands,
  ...serversJoinCommands,
  ...serversStatusCommands,
  ...serversSyncCommands,
  serversFollow,
  serversPromote,
  ...conflictsCommands,
  neighborsDiscover,
  ...neighborsCommands,
  ...neighborsTrustCommands,
  ...neighborsSyncCommands,
  ...auditCommands,
  events,
  ...sessionsCommands,
  status,
  ...configCommands,
  doctor,
  ...backupCommands,
  ...completion,
  ...forcedCommands,
  ...serviceCommands,
  serve,
  restart,
];
