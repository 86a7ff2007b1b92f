import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Test } from 'tap';
import type { KeyOwner, SshDoor, SshDoorOptions, SshLimits } from '../../../src/doors/ssh/door.ts';
import { openSshDoor } from '../../../src/doors/ssh/server.ts';
import { createLog } from '../../../src/log.ts';
import { generateEd25519, type KeyPair } from '../../../src/model/ed25519.ts';
import { fingerprint, type PublicKey } from '../../../src/model/sshkey.ts';
import { errorText } from '../../../src/shell/print.ts';
import type { Request } from '../../../src/shell/request.ts';
import { writeTo } from '../../../src/transfer/client.ts';

export const usualLimits: SshLimits = {
  loginGraceMs: 20_000,
  authTries: 6,
  channels: 10,
  unauthenticated: 64,
  connections: 1000,
  unauthenticatedPerAddress: 60,
  connectionsPerUser: 100,
  idleMs: 600_000,
};

export interface TestDoor {
  readonly door: SshDoor;
  readonly port: number;
  readonly hostKey: KeyPair;
  /** `signed in`, `failed`, `began`, `ended` with the thing itself. */
  readonly events: EventEmitter;
  readonly signedIn: KeyOwner[];
  readonly failed: (readonly string[])[];
  readonly requests: Request[];
  /** Each line of the log at level error or above. */
  readonly defects: string[];
  readonly owners: KeyOwner[];
}

/** Knows a key, as the store would. */
export function ownerOf(key: PublicKey, name: string, more: Partial<KeyOwner> = {}): KeyOwner {
  const print = fingerprint(key.blob);
  const principal = {
    kind: 'user',
    id: name,
    name,
    keyId: `key of ${name}`,
    fingerprint: print,
  } as const;
  return { ...key, user: name, principal, ...more };
}

type More = Partial<Omit<SshDoorOptions, 'limits'>> & { readonly limits?: Partial<SshLimits> };

/** A door on a free port of loopback, with real programs behind it, closed with the test. */
export async function makeDoor(t: Test, owners: KeyOwner[], more: More = {}): Promise<TestDoor> {
  const hostKey = generateEd25519('host');
  const events = new EventEmitter();
  const signedIn: KeyOwner[] = [];
  const failed: (readonly string[])[] = [];
  const requests: Request[] = [];
  const defects: string[] = [];
  const logged = new Writable({
    write: (line, _encoding, done) => {
      defects.push(String(line));
      done();
    },
  });
  const door = await openSshDoor({
    hostKeys: [hostKey.privateKey],
    log: createLog('error', logged),
    identify: async (blob) => owners.find((owner) => owner.blob.equals(blob)),
    signedIn: async (owner) => {
      signedIn.push(owner);
      events.emit('signed in', owner);
    },
    signInFailed: (_address, fingerprints) => {
      failed.push(fingerprints);
      events.emit('failed', fingerprints);
    },
    run: async (request) => {
      if (request.unreadable === undefined) requests.push(request);
      events.emit('began', request);
      const status = await runWords(request);
      events.emit('ended', request);
      return status;
    },
    ...more,
    limits: () => ({ ...usualLimits, ...more.limits }),
  });
  const { port } = await door.listen({ host: '127.0.0.1', port: 0 });
  t.teardown(() => door.close({ graceMs: 0 }));
  return { door, port, hostKey, events, signedIn, failed, requests, defects, owners };
}

/** What the tests ask for: known bytes, or a real program. */
async function runWords(request: Request): Promise<number> {
  const { words, stdio, signal, terminal, gitProtocol } = request;
  if (request.unreadable !== undefined) {
    stdio.stderr.write(`${errorText(request.unreadable)}\n`);
    return request.unreadable.status;
  }
  const [word = 'greeting', ...rest] = words;
  const [first = 0, second = 0, status = 0] = rest.map(Number);
  switch (word) {
    case 'greeting':
    case 'show':
      stdio.stdout.write(
        JSON.stringify({ words, terminal, gitProtocol, principal: request.principal }),
      );
      return 0;
    case 'bytes':
      await Promise.all([flood(stdio.stdout, first, signal), flood(stdio.stderr, second, signal)]);
      return status;
    case 'cat':
      await pipeline(stdio.stdin, stdio.stdout, { end: false }).catch(() => undefined);
      return 0;
    case 'refuse':
      stdio.stderr.write('refused\n');
      return 4;
    case 'deaf':
      // Reads nothing until it is told to end.
      if (!signal.aborted) await once(signal, 'abort');
      return 143;
    case 'ask': {
      stdio.stdout.write('sure? ');
      const [answer] = (await once(stdio.stdin, 'data')) as [Buffer];
      stdio.stdout.write(`got ${JSON.stringify(answer.toString())}\n`);
      return 0;
    }
    default:
      return runProgram(request);
  }
}

async function flood(stream: Writable, size: number, signal: AbortSignal): Promise<void> {
  for (let sent = 0; sent < size; ) {
    const chunk = pattern(sent, Math.min(65_000, size - sent));
    sent += chunk.length;
    await writeTo(stream, chunk, signal);
  }
}

/** Bytes that differ with their position. */
export function pattern(start: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let at = 0; at < length; at += 1)
    bytes[at] = ((start + at) * 31 + ((start + at) >> 8)) & 0xff;
  return bytes;
}

async function runProgram({ words, stdio, signal }: Request): Promise<number> {
  const [file = 'true', ...args] = words;
  const child = spawn(file, args, { stdio: 'pipe', detached: true });
  const end = (): void => {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  };
  signal.addEventListener('abort', end, { once: true });
  child.stdin.on('error', () => undefined);
  stdio.stdin.pipe(child.stdin);
  const outputs = Promise.allSettled([
    pipeline(child.stdout, stdio.stdout, { end: false }),
    pipeline(child.stderr, stdio.stderr, { end: false }),
  ]);
  const [status] = (await once(child, 'exit')) as [number | null];
  signal.removeEventListener('abort', end);
  await outputs;
  return status ?? 143;
}

export interface Outcome {
  readonly status: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** A real OpenSSH client's key file and options. */
export function clientFiles(t: Test, key: KeyPair): string {
  const dir = t.testdir({});
  const file = join(dir, 'key');
  writeFileSync(file, key.privateKey, { mode: 0o600 });
  return file;
}

export const sshOptions = [
  '-F',
  'none',
  ...['IdentitiesOnly=yes', 'IdentityAgent=none', 'StrictHostKeyChecking=no'],
  ...['UserKnownHostsFile=/dev/null', 'BatchMode=yes'],
].flatMap((option) => (option.includes('=') ? ['-o', option] : [option]));

/** Starts the real client; it speaks of banners and failed forwarding at the level INFO alone. */
export function startSsh(
  port: number,
  keyFile: string,
  args: readonly string[],
  logLevel = 'ERROR',
): ChildProcess {
  const level = ['-o', `LogLevel=${logLevel}`];
  const all = [...sshOptions, ...level, '-i', keyFile, '-p', String(port), ...args];
  const env = { PATH: process.env['PATH'] ?? '', TERM: 'xterm' };
  return spawn('ssh', all, { stdio: 'pipe', env });
}

/** Waits for a client to end, giving it `input` first, then the end of its input unless that is `open`. */
export async function outcome(
  child: ChildProcess,
  input: Buffer | string = '',
  after: 'end' | 'open' = 'end',
): Promise<Outcome> {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => err.push(chunk));
  child.stdin?.on('error', () => undefined);
  if (after === 'end') child.stdin?.end(input);
  else child.stdin?.write(input);
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, stdout: Buffer.concat(out), stderr: Buffer.concat(err).toString() };
}
