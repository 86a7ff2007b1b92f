import { nearest } from './model/nearest.ts';
import { nameFault } from './model/repo.ts';
import { readDurationMs, readSizeBytes } from './model/units.ts';

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** A setting: its default as a person would write it, how a value is read, and what is allowed, in words. */
interface Setting<T> {
  readonly fallback: string;
  readonly allowed: string;
  /** @returns undefined for a value that is not allowed */
  read(value: string): T | undefined;
}

function setting<T>(
  fallback: string,
  allowed: string,
  read: (value: string) => T | undefined,
): Setting<T> {
  return { fallback, allowed, read };
}

const path = setting('', 'a path', (value) => value);
const duration = (fallback: string) => setting(fallback, '30s, 10m, 2h or 30d', readDurationMs);
const size = (fallback: string) => setting(fallback, 'a size: 4096, 64K, 20M or 2G', readSizeBytes);
const count = (fallback: number) =>
  setting(String(fallback), 'a whole number, 1 or more', (value) =>
    /^[1-9]\d{0,8}$/.test(value) ? Number(value) : undefined,
  );
const oneOf = <T extends string>(...values: readonly [T, ...T[]]) =>
  setting(values[0], values.join(' or '), (value) => values.find((each) => each === value));
/** A word that stands for "without bound", or what `read` takes. */
const unless = (word: string, read: (value: string) => number | undefined, allowed: string) =>
  setting(word, `${word}, or ${allowed}`, (value) =>
    value === word ? Number.POSITIVE_INFINITY : read(value),
  );
const keep = (fallback: string) =>
  setting(fallback, 'forever, or 30d', (value) =>
    value === 'forever' ? Number.POSITIVE_INFINITY : readDurationMs(value),
  );

const addressShape = /^(?:\[([0-9a-fA-F:.]+)\]|([a-zA-Z0-9.-]+)):(\d{1,5})$/;

function readListen(value: string): readonly ListenAddress[] | undefined {
  const addresses: ListenAddress[] = [];
  for (const each of value.split(',')) {
    const [, v6, host, port] = addressShape.exec(each.trim()) ?? [];
    if (port === undefined || Number(port) > 65535) return undefined;
    addresses.push({ host: v6 ?? host ?? '', port: Number(port) });
  }
  return addresses;
}

function readWorkers(value: string): 'auto' | number | undefined {
  if (value === 'auto') return value;
  return /^[1-9]\d?$/.test(value) ? Number(value) : undefined;
}

const urlShape = /^ssh:\/\/[a-z0-9._-]+@(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?\/?$/;

/** Every setting of contract section 2, by its full key. */
export const settings = {
  main_server: setting('', 'a name of a server, or cpm@host[:port]', (v) => v),
  data_dir: path,
  ssh_key_path: path,
  database_path: path,
  default_namespace: setting('', 'a name of a user or org', (value) =>
    value === '' || nameFault(value) === undefined ? value : undefined,
  ),
  listen: setting(
    '0.0.0.0:2222,[::]:2222',
    'HOST:PORT, or [IPV6]:PORT, several with commas',
    readListen,
  ),
  host_keys: path,
  public_url: setting('', 'ssh://USER@HOST[:PORT]', (value) =>
    value === '' || urlShape.test(value) ? value.replace(/\/$/, '') : undefined,
  ),
  workers: setting('auto', 'auto, or 1 to 99', readWorkers),
  log_level: oneOf('info', 'trace', 'debug', 'warn', 'error', 'silent'),
  org_create: oneOf('users', 'admins'),
  'neighbors.listen': setting('off', 'off, or HOST:PORT', (value) =>
    value === 'off' ? [] : readListen(value),
  ),
  'sync.interval': duration('30s'),
  'sync.bandwidth': unless('unlimited', readSizeBytes, 'a size a second: 20M'),
  'sync.compress': oneOf('true', 'false'),
  'sync.transport': oneOf('auto', 'rsync', 'tar'),
  'sync.concurrency': setting('2', 'a whole number; 0: nothing goes by itself', (value) =>
    /^(0|[1-9]\d{0,8})$/.test(value) ? Number(value) : undefined,
  ),
  'archive.keep': keep('90d'),
  'trash.keep': keep('90d'),
  'audit.keep': keep('forever'),
  'shutdown.grace': duration('30s'),
  'limits.login_grace': duration('20s'),
  'limits.auth_tries': count(6),
  'limits.channels': count(10),
  'limits.unauthenticated': count(64),
  'limits.connections': count(1000),
  'limits.unauthenticated_per_address': count(20),
  'limits.connections_per_user': count(100),
  'limits.pushes_per_user': count(4),
  'limits.idle': duration('10m'),
  'limits.pack_size': size('2G'),
  'limits.refs_per_push': count(10000),
  'limits.disk_reserve': size('2G'),
  'limits.namespace_bytes': unless('none', readSizeBytes, 'a size: 20G'),
  'limits.repos_per_user': count(1000),
} as const;

export type Key = keyof typeof settings;

/** What reading each setting gives: times in milliseconds, sizes in bytes, no bound as Infinity. */
export type Values = {
  readonly [K in Key]: NonNullable<ReturnType<(typeof settings)[K]['read']>>;
};

export const keys = Object.keys(settings) as readonly Key[];

/** What a server reads once, when it starts; all else is taken over while it runs. */
export const startOnly: ReadonlySet<Key> = new Set([
  'data_dir',
  'database_path',
  'listen',
  'host_keys',
  'workers',
  'neighbors.listen',
]);

export function isKey(word: string): word is Key {
  return Object.hasOwn(settings, word);
}

/** `CPM_LIMITS__IDLE` for `limits.idle`. */
export function variableOf(key: Key): string {
  return `CPM_${key.toUpperCase().replace('.', '__')}`;
}

/** The known key that a mistyped one most likely stands for; undefined when none is near. */
export function nearestKey(word: string): Key | undefined {
  return nearest(word, keys);
}
