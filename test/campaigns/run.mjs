/**
 * `npm run campaign`: the long versions of what `npm test` tries a few times.
 *
 *   npm run campaign                    all of them
 *   npm run campaign -- crash memory    some
 *
 * What is chosen at random is chosen by CPM_SEED, which each run prints.
 */
import { spawnSync } from 'node:child_process';
import { bundle, prepare, root } from '../../src/prepare.mjs';

if (prepare({ forTests: true })) {
  const args = [
    '--import',
    './test/loader/register.mjs',
    'test/campaigns/campaign.ts',
    ...process.argv.slice(2),
  ];
  const env = { ...process.env, CPM_TEST_PROGRAM: bundle, TAP_TIMEOUT: '7200' };
  process.exitCode =
    spawnSync(process.execPath, args, { cwd: root, env, stdio: 'inherit' }).status ?? 1;
} else {
  process.exitCode = 1;
}
