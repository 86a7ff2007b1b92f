import { readFile, rm, stat } from 'node:fs/promises';
import { houseVariable } from './git.ts';
import { collect, type Program, start } from './run.ts';
import { environment, type SshTarget, sshWords } from './ssh.ts';

/** How rsync is to carry the files of a session. */
export interface RsyncJob {
  readonly target: SshTarget;
  /** The local session directory. */
  readonly directory: string;
  /** The session's token: the folder's name on the other side. */
  readonly token: string;
  readonly direction: 'push' | 'pull';
  readonly compress: boolean;
  /** KiB a second; undefined without a bound. */
  readonly bandwidthKib: number | undefined;
  /** The data directory's id: marks the process, so that a later start finds it if it was left over. */
  readonly houseId: string;
  readonly signal: AbortSignal;
  /** Hears how many bytes of the files have passed, as rsync says it. */
  onProgress(bytes: number): void;
}

/** What rsync carried, in bytes on the wire, and the argv that it was started with. */
export interface Carried {
  readonly sent: number;
  readonly received: number;
  readonly program: string;
}

const timeoutS = 60;
const oldest = [3, 2, 7] as const;
export const rsyncPath = '/usr/bin/rsync';

/** This machine's rsync, asked for its version once as long as it is the same file. */
export class Rsync {
  #known: { readonly file: string; readonly version: Promise<string | undefined> } | undefined;

  /** undefined where there is none that is new enough, as for the openrsync of macOS. */
  async version(): Promise<string | undefined> {
    const found = await stat(rsyncPath).catch(() => undefined);
    if (found === undefined) return undefined;
    const file = `${found.ino} ${found.mtimeMs} ${found.size}`;
    if (this.#known?.file !== file) this.#known = { file, version: askVersion() };
    return this.#known.version;
  }
}

async function askVersion(): Promise<string | undefined> {
  const asked = { argv: [rsyncPath, '--version'], cwd: '/', env: environment } as const;
  const answer = await collect(asked, { timeoutMs: 10_000 }).catch(() => undefined);
  const [, version] = /^rsync +version v?(\d+\.\d+\.\d+)/.exec(String(answer?.stdout ?? '')) ?? [];
  if (version === undefined) return undefined;
  const numbers = version.split('.').map(Number);
  const at = oldest.findIndex((part, index) => part !== numbers[index]);
  return at < 0 || (numbers[at] ?? 0) > (oldest[at] ?? 0) ? version : undefined;
}

/** The local rsync's argv (replication.md, section 2, Flags). */
export function rsyncArgv(job: RsyncJob, log: string): [string, ...string[]] {
  const here = `${job.directory}/`;
  const there = `${job.target.host.includes(':') ? `[${job.target.host}]` : job.target.host}:${job.token}/`;
  return [
    rsyncPath,
    `-rtc${job.compress ? 'z' : ''}`,
    '--delete',
    '--partial',
    `--timeout=${timeoutS}`,
    ...(job.bandwidthKib === undefined ? [] : [`--bwlimit=${job.bandwidthKib}`]),
    '--no-human-readable',
    '--info=progress2',
    `--log-file=${log}`,
    '-e',
    sshWords(job.target).map(shellWord).join(' '),
    ...(job.direction === 'push' ? [here, there] : [there, here]),
  ];
}

/** A word as rsync's own splitting of `-e` takes it: in single quotes, a quote doubled. */
function shellWord(word: string): string {
  return /^[A-Za-z0-9_./:=@,+-]+$/.test(word) ? word : `'${word.replaceAll("'", "''")}'`;
}

/**
 * Carries a session's files, and nothing else.
 *
 * @throws Error with rsync's own words when it fails
 */
export async function runRsync(job: RsyncJob): Promise<Carried> {
  const log = `${job.directory}.log`;
  const argv = rsyncArgv(job, log);
  const env = { ...environment, [houseVariable]: job.houseId };
  const child = start({ argv, cwd: '/', env, hasHeirs: true });
  try {
    await watch(child, job.signal, job.onProgress);
    const text = await readFile(log, 'utf8').catch(() => '');
    const [, sent = '0', received = '0'] =
      /sent ([\d,]+) bytes +received ([\d,]+) bytes/.exec(text) ?? [];
    const bytes = (number: string) => Number(number.replaceAll(',', ''));
    return { sent: bytes(sent), received: bytes(received), program: argv.join(' ') };
  } finally {
    await rm(log, { force: true });
  }
}

async function watch(
  child: Program,
  signal: AbortSignal,
  onProgress: (bytes: number) => void,
): Promise<void> {
  const onAbort = () => child.end();
  signal.addEventListener('abort', onAbort, { once: true });
  let said = '';
  child.stdin.end();
  child.stderr.on('data', (chunk) => {
    said = `${said}${chunk}`.slice(-4096);
  });
  child.stdout.on('data', (chunk) => {
    const [, bytes] = /^\s*([\d,]+) /.exec(String(chunk).split('\r').at(-1) ?? '') ?? [];
    if (bytes !== undefined) onProgress(Number(bytes.replaceAll(',', '')));
  });
  try {
    if (signal.aborted) onAbort();
    const { status } = await child.exited;
    signal.throwIfAborted();
    if (status !== 0) throw new Error(`rsync ended with ${status}: ${said.trim()}`);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** What another server's rsync asks for, read from its argv (replication.md, section 4). */
export interface RsyncRequest {
  readonly sender: boolean;
  /** Its short flags without the protocol's own. */
  readonly flags: string;
  /** The protocol's part of the short flags. */
  readonly protocol: string;
  readonly timeoutS: number | undefined;
  readonly bandwidthKib: number | undefined;
  readonly checksum: string | undefined;
  readonly deletes: boolean;
  readonly partial: boolean;
  readonly token: string;
}

/**
 * Starts the server side of rsync in a session directory, its argv built anew from what was read.
 *
 * @param confine - whether this rsync can be confined to a directory
 */
export function startRsyncServer(
  request: RsyncRequest,
  directory: string,
  {
    confine,
    bandwidthKib,
    houseId,
  }: { confine: boolean; bandwidthKib: number | undefined; houseId: string },
): Program {
  const { sender, flags, protocol, timeoutS: asked, checksum, deletes, partial } = request;
  const bounds = [request.bandwidthKib, bandwidthKib].filter((each) => each !== undefined);
  const argv: [string, ...string[]] = [
    rsyncPath,
    '--server',
    ...(sender ? ['--sender'] : []),
    `-${flags}${protocol}`,
    `--timeout=${Math.min(300, Math.max(10, asked ?? timeoutS))}`,
    ...(bounds.length === 0 ? [] : [`--bwlimit=${Math.min(...bounds)}`]),
    ...(checksum === undefined ? [] : [`--checksum-choice=${checksum}`]),
    ...(deletes ? ['--delete'] : []),
    ...(partial ? ['--partial'] : []),
    ...(confine ? [`--confine-root=${directory}`] : []),
    '.',
    './',
  ];
  const env = { ...environment, [houseVariable]: houseId };
  return start({ argv, cwd: directory, env, hasHeirs: true });
}
