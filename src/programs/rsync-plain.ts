import { readFile } from 'node:fs/promises';
import { houseVariable } from './git.ts';
import { rsyncPath } from './rsync.ts';
import { type Program, start } from './run.ts';
import { environment } from './ssh.ts';

/** What a person's own rsync asks for, read from its argv. */
export interface PlainRsync {
  readonly sender: boolean;
  /** Its short flags with the protocol's own. */
  readonly short: string;
  /** Its long flags, each checked. */
  readonly options: readonly string[];
  /** What the folder of the repository is called. */
  readonly name: string;
  /** Whether the content of that folder is meant, and not the folder itself. */
  readonly content: boolean;
  readonly deletes: boolean;
  readonly dryRun: boolean;
}

/** Where, and with what of its own, the server side runs. */
export interface PlainPlace {
  /** The folder that holds the one called `name`, and nothing else. */
  readonly folder: string;
  /** Where a receiver writes down what it did; beside the folder. */
  readonly log: string;
  /** Whether this rsync can be confined to a directory. */
  readonly confine: boolean;
  readonly houseId: string;
}

/**
 * Starts the server side for a person's own client. What comes in gets modes of ours and no owner, links are made to
 * lead nowhere, and whatever is no plain file is told of in the log.
 */
export function startPlainRsync(request: PlainRsync, place: PlainPlace): Program {
  const { sender, short, options, name, content } = request;
  const { folder, log, confine, houseId } = place;
  const inside = `${folder}/${name}`;
  const receiving = [
    '--no-super',
    '--munge-links',
    '--chmod=D0700,F0600',
    `--log-file=${log}`,
    '--log-file-format=',
  ];
  const argv: [string, ...string[]] = [
    rsyncPath,
    '--server',
    ...(sender ? ['--sender'] : []),
    short,
    ...options,
    ...(sender ? [] : receiving),
    ...(confine ? [`--confine-root=${content ? inside : folder}`] : []),
    '.',
    content ? './' : name,
  ];
  const env = { ...environment, [houseVariable]: houseId };
  return start({ argv, cwd: content ? inside : folder, env });
}

/** The first thing that a receiver left out because it is no plain file; undefined where there was none. */
export async function leftOut(log: string): Promise<string | undefined> {
  const text = await readFile(log, 'latin1').catch(() => '');
  return /skipping non-regular file "(.*)"$/m.exec(text)?.[1];
}
