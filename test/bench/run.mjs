/**
 * `npm run bench`: cpm against this machine's own sshd with git-shell or gitolite, both started here and ended again.
 *
 * Each case is done by both in turns, round after round, with one key, one repository, and key exchange and cipher
 * pinned alike. Shown are the client's wall time (smallest, median, largest), the server's processor time with all
 * that it started, the most resident memory of the server's own processes (git's not counted), and the ratio
 * to the other, taken pair by pair. Where the refs of the two differ, the bench refuses to go on.
 *
 *   npm run bench                            everything, with a generated repository of about 140 MB
 *   npm run bench -- --repo PATH             with the branches and tags of a repository of yours
 *   npm run bench -- --only 'push of one'    only cases whose name has these words in it
 *   npm run bench -- --against gitolite      the same against sshd with gitolite, with and without a refex
 *   npm run bench -- --only used             a repository after 1,000 pushes against a fresh one; --pushes 300
 *   npm run bench -- --only people           sign-ins, decisions, lists and the record with up to 1,000,000 keys
 *   npm run bench -- --only sync             sync between two servers against git and rsync, 500 and 7,000 refs; its lag
 *   npm run bench -- --only neighbors        looking around on quiet networks, ls-remote against git daemon
 *   npm run bench -- --only front            ls-remote through sshd to cpm against git-shell there, with 100,000 keys
 *   npm run bench -- --rounds 20             more pairs for each case
 *   npm run bench -- --small                 a quick look: 9 MB, three pairs
 */
import { spawnSync } from 'node:child_process';
import { bundle, prepare, root } from '../../src/prepare.mjs';

const words = process.argv.slice(2);
const isAgainstGitolite = words.includes('gitolite') || words.includes('--against=gitolite');
if (prepare({ forTests: true, more: isAgainstGitolite ? { gitolite: 'gitolite3' } : {} })) {
  const args = ['--import', './test/loader/register.mjs', 'test/bench/bench.ts', ...words];
  const env = { ...process.env, CPM_TEST_PROGRAM: bundle };
  process.exitCode =
    spawnSync(process.execPath, args, { cwd: root, env, stdio: 'inherit' }).status ?? 1;
} else {
  process.exitCode = 1;
}
