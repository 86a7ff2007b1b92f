import { lstat, readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { UserError } from '../model/errors.ts';
import { checkNamespace, escapeControls, quoted } from '../model/repo.ts';
import { fingerprint, parsePublicKey } from '../model/sshkey.ts';
import { readTar } from '../model/ustar.ts';
import type { ImportedKey } from '../store/user-import.ts';
import { array, boolean, integer, object, string } from './answers.ts';
import { type Context, command } from './command.ts';

/** A file of keys is small; a directory of 10,000 of them, as tar has it, fits. */
const largestTarBytes = 16 * 1024 ** 2;
const largestKeyBytes = 16 * 1024;

/** A file that was found, before anything is said of its content. */
interface Found {
  readonly path: string;
  /** False for links, devices and the like. */
  readonly plain: boolean;
  /** Undefined where it is no plain file, or one too large for a key. */
  readonly content: Buffer | undefined;
}

async function fromDirectory(directory: string): Promise<readonly Found[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(
    (cause: NodeJS.ErrnoException) => {
      throw new UserError('usage', `${quoted(directory)} can't be read: ${cause.code}`, { cause });
    },
  );
  const found: Found[] = [];
  for (const entry of entries) {
    if (entry.isDirectory()) continue;
    const file = join(entry.parentPath, entry.name);
    const { size } = await lstat(file);
    const plain = entry.isFile();
    const path = relative(directory, file);
    const read = plain && size <= largestKeyBytes && isKeyFile(path);
    found.push({ path, plain, content: read ? await readFile(file) : undefined });
  }
  return found;
}

function fromTar(archive: Buffer): readonly Found[] {
  return readTar(archive)
    .filter(({ kind }) => kind !== 'directory')
    .map(({ path, kind, content }) => ({
      path,
      plain: kind === 'file',
      content: kind === 'file' && content.length <= largestKeyBytes ? content : undefined,
    }));
}

/** Whether a file says by its name that it holds a key; what is hidden, or called otherwise, is passed over. */
function isKeyFile(path: string): boolean {
  return path.endsWith('.pub') && !isHidden(path);
}

function isHidden(path: string): boolean {
  return path.split('/').some((part) => part.startsWith('.'));
}

/** `bob.pub`, `bob@laptop.pub` and `sub/bob.pub` are all keys of bob. @throws UserError `usage` */
function readKeyFile({ path, content }: Found): ImportedKey {
  if (content === undefined) {
    throw new UserError('usage', 'it is no plain file of at most 16 KB');
  }
  const [, user = '', title] = /([^/@]*)(?:@([^/]*))?\.pub$/.exec(path) ?? [];
  checkNamespace(user, 'user');
  const key = parsePublicKey(String(content));
  return { user, file: path, title: title ?? (key.comment || path), key };
}

/** Reads every file, and tells of all that is wrong at once. @throws UserError `usage` */
function readKeyFiles(found: readonly Found[]): readonly ImportedKey[] {
  const keys: ImportedKey[] = [];
  const faults: string[] = [];
  for (const each of found) {
    try {
      keys.push(readKeyFile(each));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      faults.push(`${escapeControls(each.path)}: ${error.message}`);
    }
  }
  if (faults.length === 0) return keys;
  throw new UserError('usage', `nothing was imported:\n${faults.join('\n')}`, {
    hint: 'set these files right, or take them away, and run it again',
  });
}

export const userImport = command({
  words: 'user import',
  summary: 'Add users and keys from files called NAME.pub or NAME@DEVICE.pub, in any folder',
  examples: ['user import ./keydir --dry-run', 'user import - < keydir.tar'],
  args: {
    dir: {
      type: 'string',
      format: 'path',
      description: 'a directory; - for a tar archive of one on standard input',
    },
  },
  positions: ['dir'],
  required: ['dir'],
  answer: object({
    changed: boolean,
    users: array(string),
    keys: array(object({ user: string, fingerprint: string, file: string })),
    unchanged: integer,
    ignored: integer,
  }),
  changes: true,
  needs: () => ({ need: 'site-admin' }),
  run: async (context, { dir }) => {
    const found = await find(context, dir);
    // A link might stand for a folder of keys: better told of than passed over.
    const wanted = found.filter(
      ({ path, plain }) => isKeyFile(path) || (!plain && !isHidden(path)),
    );
    const sorted = [...wanted].sort((a, b) => (a.path < b.path ? -1 : 1));
    const { users, keys, unchanged } = await context.core.store.imports.run(
      readKeyFiles(sorted),
      context.by,
    );
    const ignored = found.length - wanted.length;
    if (ignored > 0) context.note(`${ignored} files are not called NAME.pub: passed over`);
    return {
      changed: users.length + keys.length > 0,
      users,
      keys: keys.map(({ user, file, key }) => ({ user, fingerprint: fingerprint(key.blob), file })),
      unchanged,
      ignored,
    };
  },
  text: ({ users, keys, unchanged }) =>
    [
      ...keys.map(
        ({ user, fingerprint: told, file }) => `${user}  ${told}  ${escapeControls(file)}`,
      ),
      `Added ${users.length} users and ${keys.length} keys; ${unchanged} keys were there already.`,
    ].join('\n'),
});

async function find(context: Context, dir: string): Promise<readonly Found[]> {
  if (dir === '-') return fromTar(await context.readFile('-', largestTarBytes));
  return fromDirectory(context.resolvePath(dir));
}
