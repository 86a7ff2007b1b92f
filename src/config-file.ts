import { readFile } from 'node:fs/promises';
import { UserError } from './model/errors.ts';
import { quoted } from './model/repo.ts';
import { isKey, type Key, nearestKey, settings } from './settings.ts';

/** A value as the file has it, and where. */
export interface Written {
  readonly value: string;
  readonly line: number;
}

/** One faulty setting, told so that a person can find and mend it. */
export interface Fault {
  /** `config.yaml:12`, or the environment variable, or `command line`. */
  readonly where: string;
  readonly text: string;
}

/**
 * Reads a configuration file. Faults of its form, unknown keys and values that are no scalars are collected, not thrown.
 *
 * @throws UserError `usage` when the file can't be read
 */
export async function readConfigFile(
  file: string,
  faults: Fault[],
): Promise<ReadonlyMap<Key, Written>> {
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new UserError('usage', `configuration file ${file}: ${cause.code ?? 'unreadable'}`, {
      cause,
    });
  });
  return readConfigText(text, file, faults);
}

/** Settings whose several values may also stand as a list. */
const listKeys: ReadonlySet<Key> = new Set(['listen', 'host_keys', 'neighbors.listen'] as const);

/** @see readConfigFile */
export async function readConfigText(
  text: string,
  file: string,
  faults: Fault[],
): Promise<ReadonlyMap<Key, Written>> {
  const { isMap, isScalar, isSeq, LineCounter, parseDocument } = await import('yaml');
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: false });
  const found = new Map<Key, Written>();
  for (const error of document.errors) {
    faults.push({
      where: `${file}:${error.linePos?.[0].line ?? 1}`,
      text: error.message.split('\n')[0] ?? '',
    });
  }
  if (document.errors.length > 0 || document.contents === null) return found;
  const visit = (node: unknown, prefix: string, line: number): void => {
    if (isMap(node)) {
      for (const pair of node.items) {
        const at =
          isScalar(pair.key) && pair.key.range ? lines.linePos(pair.key.range[0]).line : line;
        const name = isScalar(pair.key) ? String(pair.key.value) : '?';
        visit(pair.value, prefix === '' ? name : `${prefix}.${name}`, at);
      }
      return;
    }
    const where = `${file}:${line}`;
    if (!isKey(prefix)) {
      const near = nearestKey(prefix);
      const guess = near === undefined ? '' : `; did you mean ${near}?`;
      faults.push({ where, text: `${quoted(prefix)} is no setting${guess}` });
      return;
    }
    const value = textOf(prefix, node);
    if (value === undefined) {
      const what = isSeq(node) ? 'a list' : 'no plain value';
      faults.push({
        where,
        text: `${prefix}: found ${what}, allowed is ${settings[prefix].allowed}`,
      });
    } else if (found.has(prefix)) faults.push({ where, text: `${prefix} is there twice` });
    else found.set(prefix, { value, line });
  };
  const textOf = (key: Key, node: unknown): string | undefined => {
    if (isScalar(node)) return node.source ?? String(node.value);
    if (!isSeq(node) || !listKeys.has(key) || !node.items.every(isScalar)) return undefined;
    return node.items.map((item) => String(item.value)).join(',');
  };
  if (isMap(document.contents)) visit(document.contents, '', 1);
  else faults.push({ where: `${file}:1`, text: 'a list of KEY: VALUE lines is expected' });
  return found;
}

/**
 * The file's text with one setting changed, or taken out when `value` is undefined; comments and order stay.
 *
 * @param text - the file as it is; empty when there is none
 */
export async function editConfigText(
  text: string,
  key: Key,
  value: string | undefined,
): Promise<string> {
  const { isMap, parseDocument } = await import('yaml');
  const document = parseDocument(text);
  // A key may stand in one word, too.
  const path = document.has(key) ? [key] : key.split('.');
  if (value === undefined && !document.hasIn(path)) return text;
  if (value !== undefined) {
    document.setIn(path, plain(value));
  } else {
    document.deleteIn(path);
    const parent = path.length > 1 ? document.get(path[0]) : undefined;
    if (isMap(parent) && parent.items.length === 0) document.delete(path[0]);
  }
  return document.contents === null ? '' : document.toString();
}

/** A number or a truth as YAML has them, so that they stand without quotes. */
function plain(value: string): string | number | boolean {
  if (/^(0|[1-9]\d{0,14})$/.test(value)) return Number(value);
  return value === 'true' || value === 'false' ? value === 'true' : value;
}
