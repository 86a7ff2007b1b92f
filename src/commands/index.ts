import { orgAccessCommands } from './access.ts';
import { auditCommands } from './audit.ts';
import type { Command } from './command.ts';
import { createCompletion } from './completion.ts';
import { configCommands } from './config.ts';
import { events } from './events.ts';
import { createHelp } from './help.ts';
import { init } from './init.ts';
import { list } from './list.ts';
import { orgCommands } from './org.ts';
import { carryCommands } from './push-pull.ts';
import { repoCommands } from './repo.ts';
import { serve } from './serve.ts';
import { serversCommands } from './servers.ts';
import { serversStatusCommands } from './servers-status.ts';
import { sessionsCommands } from './sessions.ts';
import { show } from './show.ts';
import { sshkeyCommands } from './sshkey.ts';
import { status } from './status.ts';
import { teamCommands } from './team.ts';
import { userCommands } from './user.ts';
import { userRightsCommands } from './user-rights.ts';
import { whoami } from './whoami.ts';

/** The rest of the tree: its words are known, and answered with `not in this version`. */
export const later: readonly string[] = [
  'authorized-keys',
  'backup',
  'conflicts',
  'doctor',
  'merge',
  'neighbors',
  'restart',
  'servers follow',
  'servers invite',
  'servers join',
  'servers promote',
  'servers sync',
  'service',
  'shell',
  'org rename',
  'org rules',
  'repo adopt',
  'repo alias',
  'repo archive',
  'repo delete',
  'repo history',
  'repo maintain',
  'repo protect',
  'repo rename',
  'repo restore',
  'repo rules',
  'repo trash',
  'repo unarchive',
  'repo undo',
  'repo verify',
  'sshkey deploy',
  'sshkey fetch',
  'sshkey rotate',
  'sshkey show',
  'sshkey unused',
  'trash',
  'user import',
  'user offboard',
  'user rename',
];

/** Flags of commands that are there already, answered likewise. */
export const laterFlags: Readonly<Record<string, readonly string[]>> = {
  init: ['from'],
  list: ['server', 'discover'],
  'repo access list': ['effective'],
  serve: ['takeover'],
  'sshkey add': ['repo', 'org', 'right', 'refs'],
  'sshkey revoke': ['since'],
};

export const help: Command = createHelp(() => ({ commands, later }));

const completion = createCompletion(() => commands);

/** The command tree, in the order in which help shows it. */
export const commands: readonly Command[] = [
  init,
  list,
  show,
  whoami,
  help,
  ...repoCommands,
  ...orgCommands,
  ...orgAccessCommands,
  ...teamCommands,
  ...userCommands,
  ...userRightsCommands,
  ...sshkeyCommands,
  ...carryCommands,
  ...serversCommands,
  ...serversStatusCommands,
  ...auditCommands,
  events,
  ...sessionsCommands,
  status,
  ...configCommands,
  ...completion,
  serve,
];
