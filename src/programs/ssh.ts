import type { AccountAddress } from '../model/peer.ts';
import { fingerprint, parsePublicKey } from '../model/sshkey.ts';
import { collect, type Program, start } from './run.ts';

/** A server to reach with the OpenSSH client. */
export interface SshTarget extends AccountAddress {
  /** The file with the host keys that are taken, under the name of `alias`. */
  readonly knownHosts: string;
  /** The name that they have in that file. */
  readonly alias: string;
  /** The private key to sign in with. */
  readonly identity: string;
  /** More of them, for who does not know that one. */
  readonly earlier?: readonly string[];
}

/** The whole environment of programs that talk to other servers. */
export const environment = { LC_ALL: 'C', PATH: '/usr/bin:/bin' } as const;
const connectS = 10;

/** What cpm and every sshd of these years can do, in few words: each connection begins with these lists. */
const algorithms = [
  'KexAlgorithms=curve25519-sha256,curve25519-sha256@libssh.org,diffie-hellman-group16-sha512',
  'Ciphers=aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com',
  'MACs=hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com',
  'HostKeyAlgorithms=ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256',
];

/**
 * The ssh client's own words, up to and without `--`: our key, the pinned host key, and nothing of the machine's or the
 * account's settings (S25).
 */
export function sshWords(target: SshTarget): [string, ...string[]] {
  const { user, port } = target;
  const words = ['-F', 'none', '-T', '-a', '-x', '-l', user, '-p', String(port)];
  return ['ssh', ...words, ...settingWords(target)];
}

/** The settings alone, with the key: sftp takes them too. */
export function settingWords(target: SshTarget): string[] {
  const { knownHosts, alias, identity, earlier = [] } = target;
  const settings = [
    'IdentitiesOnly=yes',
    'IdentityAgent=none',
    'GlobalKnownHostsFile=/dev/null',
    `UserKnownHostsFile=${quotedPath(knownHosts)}`,
    'StrictHostKeyChecking=yes',
    ...algorithms,
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
  const keys = [identity, ...earlier].flatMap((each) => ['-i', literal(each)]);
  return [...keys, ...settings.flatMap((each) => ['-o', each])];
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

/** What a command on another machine came to. */
export interface Asked {
  /** 255 where the connection failed; undefined where a signal ended it. */
  readonly status: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** Has another server carry out a command, with this for its input. @returns what it said; nothing is thrown for a status */
export async function askOnce(
  target: SshTarget,
  command: string,
  { input, signal }: { input: string; signal: AbortSignal },
): Promise<Asked> {
  const argv: [string, ...string[]] = [...sshWords(target), '--', target.host, command];
  const { status, stdout, stderr } = await collect(
    { argv, cwd: '/', env: environment },
    { input, signal, timeoutMs: askMs, maxBytes: 1024 * 1024 },
  );
  return { status, stdout: String(stdout), stderr };
}

const askMs = 60_000;

/** The OpenSSH client's version, as `OpenSSH_9.2p1`; undefined where there is none. */
export async function sshVersion(): Promise<string | undefined> {
  const asked = { argv: ['ssh', '-V'], cwd: '/', env: environment } as const;
  const said = await collect(asked, { timeoutMs: 10_000 }).catch(() => undefined);
  return /^(\S+?),? /.exec(said?.stderr ?? '')?.[1];
}

/** A host key as a server shows it to anybody. */
export interface SeenHostKey {
  readonly fingerprint: string;
  /** `TYPE BASE64` */
  readonly line: string;
}

/** The host keys that a server shows to whoever asks; none where it does not answer. They prove nothing. */
export async function scanHostKeys(
  { host, port }: Omit<AccountAddress, 'user'>,
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
