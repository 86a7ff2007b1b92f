import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import type { House } from './house.ts';
import type { Person } from './person.ts';
import { run } from './process.ts';
import { findProgram } from './program.ts';
import { type Sshd, startSshd } from './sshd.ts';

const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');

/** OpenSSH's own choice takes the client most of its time. */
const quick = ['KexAlgorithms curve25519-sha256'];

/** What of cpm sshd starts: the compiled client, or Node. */
export type Behind = 'client' | 'node';

/** The compiled client beside the program under test. */
export function clientPath(): string {
  return join(dirname(findProgram().command.at(-1) ?? ''), 'cpm-forced');
}

/**
 * Lays a copy of the program under test where no client is beside it, as on a machine without a C compiler; all that is
 * started from now on is that one.
 */
export function standAlone(closing: { teardown(close: () => unknown): void }): void {
  const bundle = findProgram().command.at(-1) ?? '';
  const folder = mkdtempSync(join(dirname(bundle), 'alone-'));
  closing.teardown(() => rmSync(folder, { recursive: true }));
  process.env['CPM_TEST_PROGRAM'] = join(folder, 'cpm.cjs');
  for (const file of readdirSync(dirname(bundle)))
    if (/^(program-.*|cpm)\.(cjs|cache)$/.test(file))
      copyFileSync(join(dirname(bundle), file), join(folder, file));
}

/** This machine's own sshd before a house, with the lines of the README. */
export class Front {
  readonly sshd: Sshd;

  private constructor(sshd: Sshd) {
    this.sshd = sshd;
  }

  /** @param lines - more of sshd_config, before the README's */
  static async open(
    t: { teardown(close: () => unknown): void },
    { dataDir, folder }: Pick<House, 'dataDir' | 'folder'>,
    { behind = 'client', lines = [] }: { behind?: Behind; lines?: readonly string[] } = {},
  ): Promise<Front> {
    const program = behind === 'client' ? [clientPath()] : findProgram().command.slice(-2);
    const place = join(folder, `sshd-${behind}`);
    const sshd = await startSshd(place, [...quick, ...lines, ...readmeLines(program, dataDir)]);
    t.teardown(sshd.stop);
    return new Front(sshd);
  }

  /**
   * The same for other servers, which sign in as cpm: the account of this test has that name too, for this sshd alone.
   *
   * @returns undefined where only the machine's root could do that
   */
  static async asCpm(
    t: { teardown(close: () => unknown): void },
    { dataDir, folder }: Pick<House, 'dataDir' | 'folder'>,
  ): Promise<Front | undefined> {
    if ((await run('unshare', ['--mount', 'true'])).status !== 0) return undefined;
    const accounts = join(folder, 'passwd');
    const own = `cpm:*:${process.getuid?.()}:${process.getgid?.()}::/:/bin/sh\n`;
    writeFileSync(accounts, own + readFileSync('/etc/passwd', 'utf8'));
    const lend = 'mount --bind "$0" /etc/passwd && exec "$@"';
    const lines = readmeLines([clientPath()], dataDir).map((line) =>
      // The server has not heard of the name.
      line.replace(/^Match User .*/, 'Match User cpm').replace('%u', userInfo().username),
    );
    const wrapper = ['unshare', '--mount', 'sh', '-c', lend, accounts];
    const sshd = await startSshd(join(folder, 'sshd-cpm'), [...quick, ...lines], wrapper);
    t.teardown(sshd.stop);
    return new Front(sshd);
  }

  /** Somebody who comes this way. */
  person(person: Person): Person {
    return person.at(this.sshd, this.sshd.user);
  }
}

/**
 * What the README has for sshd_config, with the account, the paths and the program of a test. sshd wants a program in
 * folders that only root can write to: env is one everywhere.
 */
function readmeLines(program: readonly string[], dataDir: string): readonly string[] {
  const block = /```text\n(Match User cpm\n.*?)```/s.exec(readme)?.[1] ?? '';
  const account = userInfo().username;
  return block
    .trimEnd()
    .split('\n')
    .map((line) =>
      line
        .replace(/(?<=AuthorizedKeysCommand )\S+/, ['/usr/bin/env', ...program].join(' '))
        .replace('/var/lib/cpm', dataDir)
        .replace(/^(Match User|\s*AuthorizedKeysCommandUser) cpm$/, `$1 ${account}`),
    );
}
