import { randomUUID } from 'node:crypto';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { UserError } from '../model/errors.ts';
import { type Collected, collect } from './run.ts';
import { environment, type SshTarget, settingWords } from './ssh.ts';

/** Where copies lie meanwhile, and what ends the waiting. */
interface Here {
  /** A folder of this server's own. */
  readonly folder: string;
  readonly signal: AbortSignal;
}

const timeoutMs = 60_000;
/** In kilobit a second: what no limit bounds, the time does. */
const kilobits = 8000;
const largestBytes = 1024 * 1024;

/**
 * Reads a small file of an account on another machine.
 *
 * @param path - relative to the account's home
 * @returns undefined where there is none
 * @throws UserError `unavailable` when that can't be told
 */
export async function readAccountFile(
  target: SshTarget,
  path: string,
  { folder, signal }: Here,
): Promise<string | undefined> {
  const copy = join(folder, `copy-${randomUUID()}`);
  try {
    const ended = await batch(target, [`get ${quoted(path)} ${quoted(copy)}`], signal);
    if (ended.status !== 0) {
      if (/not found|No such file/i.test(ended.stderr)) return undefined;
      throw failed(target, ended);
    }
    if ((await stat(copy)).size > largestBytes) {
      throw new UserError('unavailable', `${target.host}: ${path} is too large`);
    }
    return await readFile(copy, 'utf8');
  } finally {
    await rm(copy, { force: true });
  }
}

/**
 * Puts a file of mode 0600 in the place of another, in a folder that is made for the account alone where there is none:
 * a new file beside it, fsync, rename. Whoever reads it sees all of the old one or all of the new one.
 *
 * @param path - FOLDER/NAME, relative to the account's home
 * @param isNew - there is none yet
 * @throws UserError `unavailable`
 */
export async function writeAccountFile(
  target: SshTarget,
  { path, text, isNew }: { path: string; text: string; isNew: boolean },
  { folder, signal }: Here,
): Promise<void> {
  const copy = join(folder, `copy-${randomUUID()}`);
  const staged = quoted(`${path}.cpm-${randomUUID()}`);
  const parent = quoted(path.slice(0, path.lastIndexOf('/')));
  try {
    await writeFile(copy, text, { mode: 0o600, flag: 'wx' });
    // A folder that exists already keeps its mode.
    const made = isNew && (await batch(target, [`mkdir ${parent}`], signal)).status === 0;
    const ended = await batch(
      target,
      [
        ...(made ? [`chmod 700 ${parent}`] : []),
        `put -f ${quoted(copy)} ${staged}`,
        `chmod 600 ${staged}`,
        `rename ${staged} ${quoted(path)}`,
      ],
      signal,
    );
    if (ended.status === 0) return;
    await batch(target, [`-rm ${staged}`], signal);
    throw failed(target, ended);
  } finally {
    await rm(copy, { force: true });
  }
}

/** Has OpenSSH's sftp carry out commands; it ends at the first that fails. */
function batch(
  target: SshTarget,
  commands: readonly string[],
  signal: AbortSignal,
): Promise<Collected> {
  const { user, host, port } = target;
  const where = isIP(host) === 6 ? `[${host}]` : host;
  const words = ['-q', '-b', '-', '-l', String(kilobits), '-F', 'none', '-P', String(port)];
  const argv = ['sftp', ...words, ...settingWords(target), '-o', `User=${user}`, '--', where];
  return collect(
    { argv: argv as [string, ...string[]], cwd: '/', env: environment },
    { input: commands.map((each) => `${each}\n`).join(''), signal, timeoutMs },
  );
}

/** A path in sftp's own quotes, in which nothing stands for something else. */
function quoted(path: string): string {
  return `"${path.replace(/[\\"]/g, '\\$&')}"`;
}

function failed({ user, host }: SshTarget, { stderr }: Collected): UserError {
  const said = stderr.trim().split('\n').at(-1) ?? '';
  return new UserError('unavailable', `${user}@${host}: its files can't be changed: ${said}`, {
    hint: 'its sshd must have the subsystem sftp, for this account',
  });
}
