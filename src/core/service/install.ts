import { chmod, chown, mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Config } from '../../config.ts';
import { UserError } from '../../model/errors.ts';
import { shellWord } from '../../model/shell-line.ts';
import { writeDurably } from '../../programs/files.ts';
import { type Account, act, findAccount, isSystemdThere, mustAct } from '../../programs/systemd.ts';
import { adminUnit, serviceUnit, socketUnit } from './units.ts';

/** One thing that is done to the machine, or would be. */
export interface Step {
  readonly action: 'account' | 'directory' | 'file' | 'run';
  /** A path, or a command line. */
  readonly target: string;
  /** What a file is to say. */
  readonly content?: string;
  act(): Promise<unknown>;
}

export interface Wish {
  /** Whether it shall be a service of this account's own systemd. */
  readonly ofUser: boolean;
  readonly admin:
    | { readonly name: string; readonly line: string; readonly file: string }
    | undefined;
  readonly config: Config;
  /** Given on the command line. */
  readonly configFile: string | undefined;
  /** Node, and the script of cpm: absolute paths. */
  readonly program: { readonly node: string; readonly script: string };
}

/** What is missing of a service, in the order in which it is done: after a crash the rest of it is found again. */
export interface InstallPlan {
  readonly account: string;
  readonly dataDir: string;
  /** The service's unit. */
  readonly unit: string;
  readonly steps: readonly Step[];
  /** Whether it runs by old units. */
  readonly isOutdated: boolean;
  /** A path of the program that the service could not see. */
  readonly hidden: string | undefined;
}

const units = ['cpm.socket', 'cpm.service'] as const;
const defaultAccount = 'cpm';
/** What a service of the system sees nothing of. */
const unseen = /^\/(home|root|run\/user|tmp|var\/tmp)\//;

/** @throws UserError `conflict` for a data directory that nobody but root has, `usage` for what no unit can say */
export async function planInstall(wish: Wish): Promise<InstallPlan> {
  const { ofUser, config, program } = wish;
  const dataDir = ofUser || isChosen(config) ? config.dataDir : '/var/lib/cpm';
  const account = await accountFor(wish, dataDir);
  const folder = ofUser ? join(config.home, '.config/systemd/user') : '/etc/systemd/system';
  const facts = {
    ...program,
    dataDir,
    databasePath: config.values.database_path ? config.databasePath : join(dataDir, 'cpm.db'),
    configFile: wish.configFile,
    account: ofUser ? undefined : account.name,
    listen: config.values.listen,
    graceMs: config.values['shutdown.grace'],
  };
  const template = (name: string) => readFile(join(program.script, '../../systemd', name), 'utf8');
  const written = await missing([
    ...adminFiles(wish, folder),
    [join(folder, 'cpm.service'), serviceUnit(await template('cpm.service'), facts)],
    [join(folder, 'cpm.socket'), socketUnit(await template('cpm.socket'), facts)],
  ]);
  const systemctl = ofUser ? (['systemctl', '--user'] as const) : (['systemctl'] as const);
  const runs = await isUp(systemctl, ofUser);
  const changesUnits = written.some(({ target }) => target.startsWith(folder));
  return {
    account: account.name,
    dataDir,
    unit: join(folder, 'cpm.service'),
    isOutdated: runs && changesUnits,
    hidden: ofUser ? undefined : [program.node, program.script].find((path) => unseen.test(path)),
    steps: [
      ...account.steps,
      ...(ofUser ? [] : await directorySteps(dataDir, account.name)),
      ...written,
      ...(changesUnits ? [command([...systemctl, 'daemon-reload'])] : []),
      ...(runs ? [] : [command([...systemctl, 'enable', '--now', ...units])]),
    ],
  };
}

/**
 * Puts a service in place.
 *
 * @throws UserError `denied` for anybody but root, `usage` where the service could not start cpm, `unavailable` without
 *   systemd, or with what a program said
 */
export async function install(plan: InstallPlan, { ofUser }: Pick<Wish, 'ofUser'>): Promise<void> {
  if (!ofUser && process.geteuid?.() !== 0) {
    throw new UserError('denied', 'a service of the system is installed by root', {
      hint: 'sudo cpm service install …, or one of your own: cpm service install --user',
    });
  }
  if (!isSystemdThere(ofUser)) {
    const whose = ofUser ? 'this account has no systemd that runs' : 'systemd does not run here';
    throw new UserError('unavailable', `${whose}: nothing was done`, {
      hint: 'see what it takes with --dry-run; whatever runs services here can start: cpm serve',
    });
  }
  if (plan.hidden !== undefined) {
    throw new UserError('usage', `a service of the system sees nothing of ${plan.hidden}`, {
      hint: 'install Node and cpm for all accounts, as in: npm install --global cpm-VERSION.tgz',
    });
  }
  for (const step of plan.steps) await step.act();
}

function isChosen({ entries }: Config): boolean {
  return entries.some(({ key, origin }) => key === 'data_dir' && origin !== 'default');
}

/** Who owns the data directory runs the service (S30); where there is none yet, an account made for it. */
async function accountFor(
  { ofUser }: Wish,
  dataDir: string,
): Promise<{ name: string; steps: readonly Step[] }> {
  const uid = ofUser ? process.geteuid?.() : await ownerOf(dataDir);
  if (uid !== undefined && (ofUser || uid !== 0)) {
    return { name: (await findAccount(uid))?.name ?? String(uid), steps: [] };
  }
  if ((await findAccount(defaultAccount)) !== undefined) return { name: defaultAccount, steps: [] };
  // With a shell, and a password that nobody has, sshd can let people in as it too.
  const words = ['--system', '--user-group', '--shell', '/bin/sh', '--password', '*'];
  const home = ['--home-dir', dataDir, '--no-create-home'];
  const step = command(['useradd', ...words, ...home, defaultAccount], 'account');
  return { name: defaultAccount, steps: [step] };
}

async function ownerOf(directory: string): Promise<number | undefined> {
  return stat(directory).then(
    ({ uid }) => uid,
    () => undefined,
  );
}

async function directorySteps(dataDir: string, account: string): Promise<readonly Step[]> {
  const owner = await ownerOf(dataDir);
  if (owner !== undefined && owner === (await findAccount(account))?.uid) return [];
  if (owner !== undefined && (await readdir(dataDir)).length > 0) {
    throw new UserError('conflict', `${dataDir} belongs to root and is not empty`, {
      hint: `give it to its own account first: chown -R ${account}: ${dataDir}`,
    });
  }
  const make = async () => {
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    await chmod(dataDir, 0o700);
    const { uid, gid } = (await findAccount(account)) as Account;
    await chown(dataDir, uid, gid);
  };
  return [{ action: 'directory', target: dataDir, act: make }];
}

type File = readonly [path: string, content: string];

/** Nobody but root may change who becomes the first admin; the key is copied, for the service sees no home. */
function adminFiles({ ofUser, admin }: Wish, folder: string): readonly File[] {
  if (admin === undefined) return [];
  const { name, file, line } = admin;
  const piece = join(folder, 'cpm.service.d/first-admin.conf');
  if (ofUser) return [[piece, adminUnit({ name, keyFile: file })]];
  const copy = '/etc/cpm/first-admin.pub';
  return [
    [copy, `${line}\n`],
    [piece, adminUnit({ name, keyFile: copy })],
  ];
}

/** Those that are not there, or say something else. */
async function missing(files: readonly File[]): Promise<readonly Step[]> {
  const steps = files.map(async ([path, content]): Promise<Step | undefined> => {
    if ((await readFile(path, 'utf8').catch(() => undefined)) === content) return undefined;
    const write = async () => {
      await mkdir(dirname(path), { recursive: true, mode: 0o755 });
      await chmod(dirname(path), 0o755);
      await writeDurably(path, content, 0o644);
    };
    return { action: 'file', target: path, content, act: write };
  });
  return (await Promise.all(steps)).filter((step) => step !== undefined);
}

async function isUp(systemctl: readonly string[], ofUser: boolean): Promise<boolean> {
  if (!isSystemdThere(ofUser)) return false;
  const [program = '', ...flags] = systemctl;
  const asked = ['is-enabled', 'is-active'].map((question) =>
    act([program, ...flags, question, '--quiet', ...units]),
  );
  return (await Promise.all(asked)).every(({ status }) => status === 0);
}

function command(
  words: readonly string[],
  action: Extract<Step['action'], 'account' | 'run'> = 'run',
): Step {
  const [program = '', ...args] = words;
  const hint = 'what is done already stays; look at: systemctl status cpm, and repeat this then';
  return {
    action,
    target: words.map(shellWord).join(' '),
    act: () => mustAct([program, ...args], hint),
  };
}
