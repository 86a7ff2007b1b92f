import type { ArgSchema } from './command.ts';

/** The flags that every command takes. */
export const globalFlags: Readonly<Record<string, ArgSchema>> = {
  json: { type: 'boolean', description: 'answer as one JSON document' },
  quiet: {
    type: 'boolean',
    description: 'only the result and errors; nothing of what was merely done',
  },
  verbose: {
    type: 'boolean',
    description: 'why it was allowed, the request and its time on stderr',
  },
  yes: { type: 'boolean', description: 'confirm what can not be taken back' },
  'dry-run': { type: 'boolean', description: 'check and say what would be done, and do nothing' },
  config: { type: 'string', format: 'path', description: 'configuration file' },
  'data-dir': { type: 'string', format: 'path', description: 'data directory' },
  help: { type: 'boolean', description: 'how the command is used' },
  version: { type: 'boolean', description: "cpm's version" },
};
