import { join } from 'node:path';
import { UserError } from '../model/errors.ts';
import {
  type Collected,
  type CollectOptions,
  collect,
  type Exit,
  type Program,
  type Start,
  start,
} from './run.ts';

/** What every git of one data directory has in common. */
export interface GitSettings {
  /** The data directory's id: marks each child, so that a later start finds those that were left over. */
  readonly houseId: string;
  /** An empty directory: git's HOME. */
  readonly emptyHome: string;
  /** Hears that a git which writes to a repository had no time to clean up. @param directory - the repository's */
  killed?(directory: string): void;
}

/** Configuration for one spawn, over that of every spawn: `{ 'receive.denyNonFastForwards': 'true' }`. */
export type GitConfig = Readonly<Record<string, string>>;

export interface GitStart {
  readonly cwd: string;
  /** The client's `GIT_PROTOCOL`; dropped unless it is well-formed. */
  readonly protocol?: string | undefined;
  readonly config?: GitConfig;
  /** Leaves processor and disk to others first. */
  readonly gently?: boolean;
  /** May have so much memory and no more: what it unpacks may be made to need any amount. */
  readonly bounded?: boolean;
  /** An object directory of its own that this git writes to; what it does not find there it reads from `cwd`'s. */
  readonly scratch?: string | undefined;
  /** Lets its hooks talk over two pipes more; more variables for them. @see hooks.ts */
  readonly hooks?:
    | { readonly folder: string; readonly env: Readonly<Record<string, string>> }
    | undefined;
}

/** The real git, always in the same clean environment. */
export interface Git {
  /** git's own version, `2.39.5`. */
  readonly version: string;
  start(args: readonly string[], options: GitStart): Program;
  /**
   * Runs a short command to its end; a non-zero status is an answer.
   *
   * @throws UserError `unavailable` when it was killed, and as `collect`
   */
  run(args: readonly string[], options: GitStart & CollectOptions): Promise<Collected>;
  /** Runs a program that calls git, in git's environment and `extra`. @param file - absolute path */
  script(
    file: string,
    options: GitStart & CollectOptions & { readonly extra: Readonly<Record<string, string>> },
  ): Promise<Collected>;
}

/** What leaves locks and half-written files behind when it is killed. */
const writers = new Set(['fetch', 'pack-refs', 'receive-pack', 'repack', 'update-ref']);
/** Signals at which git removes what it has begun. */
const heeded: ReadonlySet<string> = new Set(['SIGHUP', 'SIGINT', 'SIGPIPE', 'SIGQUIT', 'SIGTERM']);

/** The environment variable that marks a child with the id of the data directory it works for. */
export const houseVariable = 'CPM_HOUSE';

const oldest = [2, 39] as const;

const config: GitConfig = {
  'safe.directory': '*',
  'core.hooksPath': '/dev/null',
  'core.fsync': 'committed',
  'core.fsyncMethod': 'fsync',
  'core.logAllRefUpdates': 'false',
  'core.packedRefsTimeout': '10000',
  'core.filesRefLockTimeout': '1000',
  'gc.auto': '0',
  'receive.autogc': 'false',
  'gc.cruftPacks': 'true',
  'receive.unpackLimit': '100',
  'receive.fsckObjects': 'true',
  // Faults that old, honest histories carry.
  'receive.fsck.zeroPaddedFilemode': 'ignore',
  'receive.fsck.badTimezone': 'ignore',
  'receive.fsck.missingSpaceBeforeDate': 'ignore',
  'receive.maxInputSize': '2147483648',
  'receive.advertisePushOptions': 'true',
  'receive.advertiseAtomic': 'true',
  'receive.denyDeleteCurrent': 'refuse',
  'receive.denyCurrentBranch': 'ignore',
  'receive.keepAlive': '5',
  'transfer.hideRefs': 'refs/cpm',
  'uploadpack.allowFilter': 'true',
  'uploadpack.allowAnySHA1InWant': 'true',
  // With it git 2.39 answers `clone --depth` in an order that its own client refuses.
  'uploadpack.allowRefInWant': 'false',
  'uploadpack.keepAlive': '5',
  'pack.threads': '1',
  'pack.allowPackReuse': 'true',
  'pack.writeReverseIndex': 'true',
  'pack.writeBitmapHashCache': 'true',
  'pack.writeBitmapLookupTable': 'true',
  'repack.writeBitmaps': 'true',
  // A repository's own settings could name programs here (S14). The first only repeats our own refs, in a quarantine;
  // the word of the others is git's own for its built-in gzip.
  'core.alternateRefsCommand': 'true',
  'tar.tar.gz.command': 'git archive gzip',
  'tar.tgz.command': 'git archive gzip',
  'core.multiPackIndex': 'true',
  'core.commitGraph': 'true',
};

/**
 * Finds git and checks that it is new enough.
 *
 * @throws UserError `unavailable` when it is missing or older than 2.39
 */
export async function openGit(settings: GitSettings): Promise<Git> {
  const env = ({
    protocol,
    config: extra,
    scratch,
    hooks,
    cwd,
  }: GitStart): Record<string, string> => ({
    ...environment(settings),
    ...configPairs({ ...config, ...(hooks && { 'core.hooksPath': hooks.folder }), ...extra }),
    ...hooks?.env,
    ...(isProtocol(protocol) ? { GIT_PROTOCOL: protocol } : {}),
    ...(scratch === undefined ? {} : objectDirectories(scratch, cwd)),
  });
  const commandOf = (args: readonly string[], options: GitStart): Start => ({
    argv: argvOf(args, options),
    cwd: options.cwd,
    env: env(options),
    onExit: ({ signal }) => {
      const isKilled = signal !== undefined && !heeded.has(signal);
      if (isKilled && writers.has(args[0] ?? '')) settings.killed?.(options.cwd);
    },
  });
  const version = await findVersion(settings);
  return {
    version,
    start: (args, options) =>
      start({ ...commandOf(args, options), talks: options.hooks !== undefined }),
    run: async (args, options) => {
      const done = await collect(commandOf(args, options), options);
      refuseKilled(done);
      return done;
    },
    script: (file, options) =>
      collect(
        { argv: [file], cwd: options.cwd, env: { ...env(options), ...options.extra } },
        options,
      ),
  };
}

/**
 * That a git was killed, for want of memory perhaps, says nothing of what it was at work on.
 *
 * @throws UserError `unavailable`
 */
export function refuseKilled({ signal }: Exit): void {
  if (signal === undefined) return;
  throw new UserError('unavailable', `git was ended by ${signal} before it was done`, {
    hint: 'try again',
  });
}

/** Bytes of memory for a git that reads what strangers packed; files that are mapped do not count. */
const memoryBytes = 2 * 1024 ** 3;

function argvOf(args: readonly string[], { gently, bounded }: GitStart): [string, ...string[]] {
  const limited = bounded === true ? ['prlimit', `--data=${memoryBytes}`] : [];
  const nice = gently === true ? ['nice', '-n', '10'] : [];
  const [program = 'git', ...rest] = [...nice, ...limited, 'git', ...args];
  return [program, ...rest];
}

/** Whether a client's `GIT_PROTOCOL` is one that git's own clients send. */
export function isProtocol(value: string | undefined): value is string {
  if (value === undefined || value.length > 128) return false;
  return /^version=[0-2](:[a-z][a-z0-9-]*(=[A-Za-z0-9._-]+)?)*$/.test(value);
}

function environment({ houseId, emptyHome }: GitSettings): Record<string, string> {
  return {
    LC_ALL: 'C',
    PATH: '/usr/bin:/bin',
    HOME: emptyHome,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_TERMINAL_PROMPT: '0',
    GIT_NO_REPLACE_OBJECTS: '1',
    [houseVariable]: houseId,
  };
}

function objectDirectories(scratch: string, directory: string): Record<string, string> {
  // In quotes, because a colon in the path would end it.
  const alternate = join(directory, 'objects').replace(/[\\"]/g, '\\$&');
  return { GIT_OBJECT_DIRECTORY: scratch, GIT_ALTERNATE_OBJECT_DIRECTORIES: `"${alternate}"` };
}

function configPairs(settings: GitConfig): Record<string, string> {
  const pairs = Object.entries(settings);
  const env: Record<string, string> = { GIT_CONFIG_COUNT: String(pairs.length) };
  for (const [at, [key, value]] of pairs.entries()) {
    env[`GIT_CONFIG_KEY_${at}`] = key;
    env[`GIT_CONFIG_VALUE_${at}`] = value;
  }
  return env;
}

async function findVersion(settings: GitSettings): Promise<string> {
  const hint = 'install git 2.39 or newer, on Debian and Ubuntu: apt install git';
  const command = { argv: ['git', '--version'], cwd: '/', env: environment(settings) } as const;
  let said: string;
  try {
    said = (await collect(command, { timeoutMs: 30_000 })).stdout.toString();
  } catch (cause) {
    throw new UserError('unavailable', 'git was not found in /usr/bin or /bin', { hint, cause });
  }
  const [version, major = 0, minor = 0] = versionIn(said);
  if (major > oldest[0] || (major === oldest[0] && minor >= oldest[1])) return version;
  throw new UserError('unavailable', `git ${version} is too old: 2.39 is the oldest that works`, {
    hint,
  });
}

/** Reads `git version 2.39.5 (…)`. @returns the version and its first two numbers; zeros when it can't be read */
export function versionIn(text: string): [string, number, number] {
  const [, version = 'of unknown version', major = '0', minor = '0'] =
    /^git version ((\d+)\.(\d+)[^\s]*)/.exec(text) ?? [];
  return [version, Number(major), Number(minor)];
}
