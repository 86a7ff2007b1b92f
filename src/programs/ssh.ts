import type { PeerAddress } from '../model/peer.ts';
import { fingerprint, parsePublicKey } from '../model/sshkey.ts';
import { collect, type Program, start } from './run.ts';

/** A server to reach with the OpenSSH client. */
export interface SshTarget extends PeerAddress {
  /** The file with the one host key that is taken, under the name of `alias`. */
  readonly knownHosts: string;
  /** The name that the host key has in that file. */
  readonly alias: string;
  /** The private key that this server signs in with. */
  readonly identity: string;
}

/** The whole environment of programs that talk to other servers. */
export const environment = { LC_ALL: 'C', PATH: '/usr/bin:/bin' } as const;
const connectS = 10;

/**
 * The ssh client's own words, up to and without `--`: our key, the pinned host key, and nothing of the machine's or the
 * account's settings (S25).
 */
export function sshWords(target: SshTarget): [string, ...string[]] {
  const { user, port, knownHosts, alias, identity } = target;
  const settings = [
    'IdentitiesOnly=yes',
    'IdentityAgent=none',
    'GlobalKnownHostsFile=/dev/null',
    `UserKnownHostsFile=${quotedPath(knownHosts)}`,
    'StrictHostKeyChecking=yes',
    'UpdateHostKeys=no',
    `HostKeyAlias=${alias}`,
    'BatchMode=yes',
    'PreferredAuthentications=publickey',
    'ForwardAgent=no',
    'ClearAllForwardings=yes',
    'ControlPath=none',
    'ProxyCommand=none',
    'Compression=no',
    'LogLevel=ERROR',
    `ConnectTimeout=${connectS}`,
    'ServerAliveInterval=15',
    'ServerAliveCountMax=3',
  ];
  const words = ['-F', 'none', '-T', '-a', '-x', '-i', literal(identity), '-l', user];
  return ['ssh', ...words, '-p', String(port), ...settings.flatMap((each) => ['-o', each])];
}

/** ssh reads a blank in a path as the end of it. */
function quotedPath(path: string): string {
  return `"${literal(path).replace(/[\\"]/g, '\\$&')}"`;
}

/** A path in which nothing stands for something else. */
function literal(path: string): string {
  return path.replaceAll('%', '%%');
}

/** Starts a command on another server; its streams are the command's. */
export function startSsh(target: SshTarget, command: string): Program {
  const [program, ...words] = sshWords(target);
  return start({
    argv: [program, ...words, '--', target.host, command],
    cwd: '/',
    env: environment,
  });
}

/** Has another server carry out a command, with this for its input. @returns what it said; nothing is thrown for a status */
export async function askOnce(
  target: SshTarget,
  command: string,
  { input, signal }: { input: string; signal: AbortSignal },
): Promise<{ readonly stdout: string; readonly stderr: string }> {
  const argv: [string, ...string[]] = [...sshWords(target), '--', target.host, command];
  const { stdout, stderr } = await collect(
    { argv, cwd: '/', env: environment },
    { input, signal, timeoutMs: askMs, maxBytes: 64 * 1024 },
  );
  return { stdout: String(stdout), stderr };
}

const askMs = 60_000;

/** A host key as a server shows it to anybody. */
export interface SeenHostKey {
  readonly fingerprint: string;
  /** `TYPE BASE64` */
  readonly line: string;
}

/** The host keys that a server shows to whoever asks; none where it does not answer. They prove nothing. */
export async function scanHostKeys(
  { host, port }: PeerAddress,
  signal: AbortSignal,
): Promise<readonly SeenHostKey[]> {
  const types = 'ed25519,ecdsa,rsa';
  const argv = ['ssh-keyscan', '-T', '5', '-t', types, '-p', String(port), '--', host] as const;
  const { stdout } = await collect(
    { argv, cwd: '/', env: environment },
    { timeoutMs: 20_000, maxBytes: 64 * 1024, signal },
  );
  return String(stdout)
    .split('\n')
    .flatMap((text) => readScanned(text));
}

function readScanned(text: string): SeenHostKey[] {
  const [name = '', type = '', base64 = ''] = text.split(' ');
  if (name === '' || name.startsWith('#') || base64 === '') return [];
  try {
    const { blob } = parsePublicKey(`${type} ${base64}`);
    return [{ fingerprint: fingerprint(blob), line: `${type} ${base64}` }];
  } catch {
    // A kind of key that is no use here.
    return [];
  }
}
