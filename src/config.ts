import { access } from 'node:fs/promises';
import { homedir, hostname } from 'node:os';
import { join, resolve } from 'node:path';
import * as z from 'zod/mini';
import { type Fault, readConfigFile, readConfigText } from './config-file.ts';
import { UserError } from './model/errors.ts';
import { quoted } from './model/repo.ts';
import { type Key, keys, settings, startOnly, type Values, variableOf } from './settings.ts';

export type Origin = 'flag' | 'environment' | 'file' | 'default';

/** A setting as it was written, and by what. */
export interface Entry {
  readonly key: Key;
  readonly value: string;
  readonly origin: Origin;
}

/** The checked settings. Paths are absolute. */
export interface Config {
  readonly values: Values;
  /** Every key in the contract's order. */
  readonly entries: readonly Entry[];
  readonly dataDir: string;
  readonly databasePath: string;
  readonly hostKeyPaths: readonly string[];
  /** The private key that this server signs in with elsewhere. */
  readonly sshKeyPath: string;
  /** The file that was read, or that `config set` would make. */
  readonly file: string;
  /** Who becomes the first site admin, and the file of the key (contract section 2). */
  readonly firstAdmin: { readonly name: string | undefined; readonly keyFile: string | undefined };
  readonly home: string;
  /** Where the person's ssh agent listens. */
  readonly agentSocket: string | undefined;
  /** Reads the same flags, environment and file again. @throws as `loadConfig` */
  readAgain(): Promise<Config>;
}

export interface ConfigSources {
  /** Values given on the command line. */
  readonly flags: Readonly<Partial<Record<Key, string>>>;
  /** `--config`. */
  readonly file?: string | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** A schema of the whole: every key by its own reader, so that all faults are found at once. */
const schema = z.object(
  Object.fromEntries(
    keys.map((key) => [
      key,
      z.pipe(
        z.string(),
        z.transform((value: string, context) => {
          const read = settings[key].read(value);
          if (read !== undefined) return read;
          context.issues.push({ code: 'custom', message: settings[key].allowed, input: value });
          return z.NEVER;
        }),
      ),
    ]),
  ),
);

/**
 * Reads flags, environment and file, in this order of precedence, and checks them as a whole.
 *
 * @throws UserError `usage` that names every fault at once: source, line, key, what was found, what is allowed
 */
export async function loadConfig(
  { flags, file }: ConfigSources,
  env: Environment = process.env,
): Promise<Config> {
  const faults: Fault[] = [];
  const place = await findFile(file, env);
  const written = place.exists ? await readConfigFile(place.path, faults) : new Map();
  const where = new Map<Key, string>();
  const entries = keys.map((key): Entry => {
    const variable = variableOf(key);
    const flag = flags[key];
    if (flag !== undefined) {
      where.set(key, 'command line');
      return { key, value: flag, origin: 'flag' };
    }
    const fromEnv = env[variable];
    if (fromEnv !== undefined && fromEnv !== '') {
      where.set(key, variable);
      return { key, value: fromEnv, origin: 'environment' };
    }
    const fromFile = written.get(key);
    if (fromFile === undefined) return { key, value: settings[key].fallback, origin: 'default' };
    where.set(key, `${place.path}:${fromFile.line}`);
    return { key, value: fromFile.value, origin: 'file' };
  });
  const values = check(entries, where, faults);
  if (values === undefined || faults.length > 0) throw faulty(faults);
  const readAgain = () => loadConfig({ flags, file }, env);
  return assemble(values, entries, { file: place.path, env, readAgain });
}

/** What a running server makes of a configuration that was read again. */
export interface Reread {
  /** All that can be taken over; the rest as it was. */
  readonly config: Config;
  readonly applied: readonly Key[];
  /** Changed too, and only counted from the next start on. */
  readonly waiting: readonly Key[];
}

/** Parts what changed into what counts from now on and what a server reads only when it starts. */
export function takeOver(now: Config, next: Config): Reread {
  const at = (index: number) => now.entries[index] as Entry;
  const changed = next.entries.filter(({ value }, index) => value !== at(index).value);
  const waiting = changed.map(({ key }) => key).filter((key) => startOnly.has(key));
  const applied = changed.map(({ key }) => key).filter((key) => !startOnly.has(key));
  const kept = Object.fromEntries([...startOnly].map((key) => [key, now.values[key]]));
  const entries = next.entries.map((entry, index) =>
    startOnly.has(entry.key) ? at(index) : entry,
  );
  const { dataDir, databasePath, hostKeyPaths } = now;
  const values: Values = { ...next.values, ...kept };
  const config = { ...next, values, entries, dataDir, databasePath, hostKeyPaths };
  return { config: Object.freeze(config), applied, waiting };
}

/** @throws UserError `usage` that names every fault of a file's text */
export async function checkConfigText(text: string, file: string): Promise<void> {
  const faults: Fault[] = [];
  for (const [key, { value, line }] of await readConfigText(text, file, faults)) {
    const fault = settingFault(key, value);
    if (fault !== undefined) faults.push({ where: `${file}:${line}`, text: fault });
  }
  if (faults.length > 0) throw faulty(faults);
}

/** @returns what is wrong with a value for a key; undefined when nothing is */
export function settingFault(key: Key, value: string): string | undefined {
  if (settings[key].read(value) !== undefined) return undefined;
  return `${key}: found ${quoted(value)}, allowed is ${settings[key].allowed}`;
}

function check(
  entries: readonly Entry[],
  where: ReadonlyMap<Key, string>,
  faults: Fault[],
): Values | undefined {
  const result = schema.safeParse(
    Object.fromEntries(entries.map(({ key, value }) => [key, value])),
  );
  if (result.success) return result.data as unknown as Values;
  for (const issue of result.error.issues) {
    const key = String(issue.path[0]) as Key;
    const value = entries.find((entry) => entry.key === key)?.value ?? '';
    faults.push({ where: where.get(key) ?? key, text: settingFault(key, value) ?? issue.message });
  }
  return undefined;
}

async function findFile(
  file: string | undefined,
  env: Environment,
): Promise<{ path: string; exists: boolean }> {
  const named = file ?? (env['CPM_CONFIG'] || undefined);
  if (named !== undefined) return { path: resolve(named), exists: true };
  const home = env['XDG_CONFIG_HOME'] || join(env['HOME'] || homedir(), '.config');
  const own = join(home, 'cpm', 'config.yaml');
  for (const path of [own, '/etc/cpm/config.yaml']) {
    const exists = await access(path).then(
      () => true,
      () => false,
    );
    if (exists) return { path, exists };
  }
  return { path: own, exists: false };
}

function assemble(
  values: Values,
  entries: readonly Entry[],
  { file, env, readAgain }: { file: string; env: Environment; readAgain: () => Promise<Config> },
): Config {
  const home = env['HOME'] || homedir();
  const shared = env['XDG_DATA_HOME'] || join(home, '.local', 'share');
  const dataDir = resolve(values.data_dir || join(shared, 'cpm'));
  const hostKeys = values.host_keys || join(dataDir, 'keys', 'host_ed25519');
  return Object.freeze({
    values,
    entries,
    dataDir,
    databasePath: resolve(values.database_path || join(dataDir, 'cpm.db')),
    hostKeyPaths: hostKeys.split(',').map((path) => resolve(path.trim())),
    sshKeyPath: resolve(values.ssh_key_path || join(dataDir, 'keys', 'server_ed25519')),
    file,
    firstAdmin: {
      name: env['CPM_ADMIN'] || undefined,
      keyFile: env['CPM_ADMIN_KEY'] || undefined,
    },
    home,
    agentSocket: env['SSH_AUTH_SOCK'] || undefined,
    readAgain,
  });
}

/** The base of clone URLs, without a slash at its end. @param port - the real one, where the setting is silent */
export function publicUrl(config: Config, port: number): string {
  return config.values.public_url || `ssh://cpm@${hostname()}:${port}`;
}

/** One error for all faults. */
export function faulty(faults: readonly Fault[]): UserError {
  const lines = faults.map(({ where, text }) => `${where}: ${text}`);
  const what =
    faults.length === 1
      ? 'the configuration has a fault'
      : `the configuration has ${faults.length} faults`;
  return new UserError('usage', [`${what}:`, ...lines].join('\n  '), {
    hint: 'see all settings with: config list --origin',
  });
}
