import { resolve } from 'node:path';
import { restoreAnswer } from '../../commands/backup.ts';
import type { Config } from '../../config.ts';
import { restoreBackup } from '../../core/backup/restore.ts';
import { checkOwner, inspectHouse } from '../../core/house.ts';
import { UserError } from '../../model/errors.ts';
import type { Stdio } from '../../model/stdio.ts';
import { printAnswer } from '../../shell/print.ts';
import type { Invocation } from './cli.ts';
import { terminalOf } from './cli.ts';
import { readSecret } from './secret.ts';

/**
 * Restores a backup where there is no data directory yet.
 *
 * @returns the exit status; undefined where there is one, which then is asked
 */
export async function restoreHere(
  config: Config,
  { command, args, globals }: Invocation,
  { stdio, signal }: { stdio: Stdio; signal: AbortSignal },
): Promise<number | undefined> {
  await checkOwner(config.dataDir);
  if ((await inspectHouse(config.dataDir, config.databasePath)) === 'complete') return undefined;
  const report = await restoreBackup(config, {
    from: resolve(String(args['src'])),
    confirmKeys: args['confirm-keys'] === true,
    dryRun: globals.dryRun,
    passphrase: async () => {
      const passphrase = await readSecret(stdio.stdin, 'Passphrase of the private keys: ');
      if (passphrase !== '') return passphrase;
      throw new UserError('usage', 'the backup has private keys: they need their passphrase', {
        hint: 'give it on standard input: cpm backup restore SRC < FILE',
      });
    },
    signal,
  });
  const answer = restoreAnswer(report);
  await printAnswer(
    stdio,
    { command, args, answer },
    { json: globals.json, terminal: terminalOf() },
  );
  return 0;
}
