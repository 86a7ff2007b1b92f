import { realpathSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Config } from '../../config.ts';
import { inspectHouse } from '../../core/house.ts';
import { type InstallPlan, install, planInstall, type Wish } from '../../core/service/install.ts';
import { UserError } from '../../model/errors.ts';
import { checkNamespace } from '../../model/repo.ts';
import { parsePublicKey } from '../../model/sshkey.ts';
import type { Stdio } from '../../model/stdio.ts';
import { findAccount, mustAct } from '../../programs/systemd.ts';
import { printAnswer } from '../../shell/print.ts';
import { send } from '../../shell/send.ts';
import { type Invocation, terminalOf } from './cli.ts';

/**
 * Makes cpm a service of this machine. A running server could not do it, shut in as it is: this process does, and the
 * record is told afterwards by the data directory's own account.
 *
 * @returns the exit status
 */
export async function installHere(
  config: Config,
  { command, args, globals }: Invocation,
  stdio: Stdio,
): Promise<number> {
  const ofUser = args['user'] === true;
  const program = { node: process.execPath, script: realpathSync(process.argv[1] ?? '') };
  const plan = await planInstall({
    ofUser,
    admin: await adminOf(args),
    config,
    configFile: globals.config === undefined ? undefined : resolve(globals.config),
    program,
  });
  const notes = notesOf(plan, { ofUser, dryRun: globals.dryRun });
  if (!globals.dryRun) {
    await install(plan, { ofUser });
    if (plan.steps.length > 0) await putOnRecord(plan, program);
  }
  const { account, dataDir, unit } = plan;
  const steps = plan.steps.map(({ action, target, content }) => ({
    action,
    target,
    content: globals.dryRun ? (content ?? null) : null,
  }));
  const answer = { changed: steps.length > 0, account, data_dir: dataDir, unit, steps };
  await printAnswer(
    stdio,
    { command, args, answer },
    { json: globals.json, terminal: terminalOf() },
  );
  if (!globals.quiet && notes.length > 0) await send(stdio.stderr, `${notes.join('\n')}\n`);
  return 0;
}

/** @throws UserError `usage` for half of it, a key that can't be read, or that is none */
async function adminOf(args: Invocation['args']) {
  const given = ['admin', 'admin-key'].filter((name) => args[name] !== undefined);
  if (given.length === 0) return undefined;
  if (given.length === 1) {
    throw new UserError('usage', '--admin and --admin-key go together', {
      hint: 'as in: cpm service install --admin ana --admin-key ana.pub',
    });
  }
  const file = resolve(String(args['admin-key']));
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new UserError('usage', `--admin-key: ${file} can't be read: ${cause.code}`, { cause });
  });
  const { type, blob, comment } = parsePublicKey(text);
  const line = `${type} ${blob.toString('base64')} ${comment}`.trimEnd();
  return { name: checkNamespace(String(args['admin']), 'user'), line, file };
}

function notesOf(
  { account, isOutdated, hidden }: InstallPlan,
  { ofUser, dryRun }: { ofUser: boolean; dryRun: boolean },
): readonly string[] {
  return [
    ...(hidden === undefined ? [] : [`a service of the system sees nothing of ${hidden}`]),
    ...(isOutdated ? ['it runs as before until: systemctl restart cpm.socket cpm.service'] : []),
    ...(ofUser ? [`it ends when you sign out, without: loginctl enable-linger ${account}`] : []),
    ...(dryRun ? ['dry run: nothing was changed'] : []),
  ];
}

/** @throws UserError `unavailable` when nobody could write it down; without a data directory there is no record yet */
async function putOnRecord(
  { account, dataDir, unit }: InstallPlan,
  { node, script }: Wish['program'],
): Promise<void> {
  if ((await inspectHouse(dataDir, `${dataDir}/cpm.db`).catch(() => 'absent')) === 'absent') return;
  const owner = await findAccount(account);
  const isOwn = owner === undefined || owner.uid === process.geteuid?.();
  const as = isOwn ? [] : [`--reuid=${owner.uid}`, `--regid=${owner.gid}`, '--clear-groups'];
  const words = [node, script, '--data-dir', dataDir, '--quiet', 'service', 'installed', unit];
  const [first = '', ...others] = [...(isOwn ? [] : ['setpriv']), ...as, ...words];
  await mustAct([first, ...others], 'the service is installed; only the record lacks it');
}
