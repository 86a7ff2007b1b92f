import { access } from 'node:fs/promises';
import { UserError } from '../../model/errors.ts';
import type { Core } from '../core.ts';
import { checkDisk, checkKeys, checkLeftovers, checkModes } from './files.ts';
import { type Finding, fail, ok, warn } from './finding.ts';
import { checkPrograms } from './programs.ts';
import { checkClock, checkDatabase, checkRepositories, checkTrust } from './record.ts';

/**
 * Looks whether all is well, one check after the other.
 *
 * @param fix - mends what can be mended without harm: modes of files, leftovers
 */
export async function* examine(core: Core, fix: boolean): AsyncGenerator<Finding> {
  yield* await checkPrograms(core);
  yield await checkConfig(core);
  yield await checkKeys(core);
  yield await checkModes(core, fix);
  yield await checkDisk(core);
  yield checkDatabase(core);
  yield* await checkRepositories(core);
  yield await checkLeftovers(core, fix);
  yield checkListening(core);
  yield await checkClock(core);
  yield* await checkTrust(core);
}

/** The configuration as the next start would read it. */
async function checkConfig({ config }: Core): Promise<Finding> {
  try {
    const { file } = await config.readAgain();
    const there = await access(file).then(
      () => true,
      () => false,
    );
    return ok('config', there ? file : `no file at ${file}`);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return fail('config', error.message, error.hint ?? 'cpm config validate');
  }
}

function checkListening({ sessions }: Core): Finding {
  const { listeners } = sessions;
  if (listeners.length > 0) return ok('listening', listeners.join(', '));
  return warn('listening', 'no server runs on this data directory', 'start one with: cpm serve');
}
