/**
 * `npm test`: readies the machine, then lint, types, unused code and every test file; `npm test -- FILE…` runs
 * just those files. Node's own modules alone: this file works before anything is installed.
 * The last line is always `N passed, N failed`: assertions, and each check as one.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { bundle, prepare, root } from '../src/prepare.mjs';
import { compileAll } from './loader/hooks.mjs';

/** What a test file may take, in seconds. */
const patienceS = 300;

/** The test files that take longest, the longest first. */
const longest = [
  'security/paused-push',
  'peering/campaign',
  'rights/table',
  'crash',
  'memory',
  'hostile-words',
  'rules/table',
  'doors/forced/front-node',
  'commands/examples',
  'commands/list',
  'rights/mutations',
  'rights/hidden',
  'rights/openssh',
  'restart',
  'peering/ring',
  'peering/transport',
  'peering/sync',
  'peering/conflicts',
  'rules/objects',
  'peering/join',
  'peering/death',
  'peering/disk',
  'security/room',
];

const total = { passed: 0, failed: 0 };

/** @param {string} line */
function print(line) {
  process.stdout.write(`${line}\n`);
}

/**
 * @param {string} program
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 */
function start(program, args, env = {}) {
  const stdio = /** @type {const} */ (['ignore', 'pipe', 'pipe']);
  return spawn(program, args, { cwd: root, env: { ...process.env, ...env }, stdio });
}

/** @param {string} script - one of package.json's; what it says is printed when it fails */
async function check(script) {
  const child = start('npm', ['run', '--silent', script]);
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      said += text;
    });
  }
  const [status] = await once(child, 'close');
  total[status === 0 ? 'passed' : 'failed'] += 1;
  print(status === 0 ? `ok     ${script}` : `FAILED ${script}\n${said.trimEnd()}`);
}

/** @returns {string[]} every test file, those that take longest first, so that none of them is left to run alone */
function allFiles() {
  const found = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts') && !name.startsWith('fixtures/'))
    .map((name) => `test/${name}`)
    .sort();
  const first = longest.map((name) => `test/${name}.test.ts`);
  return [...new Set([...first, ...found])];
}

/** @param {readonly (() => Promise<void>)[]} work - begun in this order */
async function inTurn(work) {
  const left = [...work];
  // A fifth of a test file's time it waits, for a process, a disk or a clock: one file more than there are processors.
  const lanes = Array.from({ length: availableParallelism() + 1 }, async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) await next();
  });
  await Promise.all(lanes);
}

/**
 * Runs a test file in a process of its own, and prints how it went.
 *
 * @param {string} file
 */
async function test(file) {
  const began = performance.now();
  const args = ['--enable-source-maps', '--import', './test/loader/register.mjs', file];
  const env = { CPM_TEST_PROGRAM: bundle, TAP_TIMEOUT: String(patienceS) };
  const child = start(process.execPath, args, env);
  // tap gives up by itself, and says what it waits for; unless the file keeps it from that.
  const guard = setTimeout(() => child.kill('SIGKILL'), (patienceS + 30) * 1000);
  child.stderr.pipe(process.stderr, { end: false });
  const closed = once(child, 'close');
  const { pass, fail, failures } = await report(createInterface({ input: child.stdout }));
  const [status, signal] = await closed;
  clearTimeout(guard);
  // A file that ended badly with nothing to show for it (it can't be loaded, or was killed) is a failure too.
  const failed = status === 0 ? fail : Math.max(fail, 1);
  total.passed += pass;
  total.failed += failed;
  const end = failed > 0 && failures.length === 0 ? [`  it ended with ${signal ?? status}`] : [];
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  print(
    [`${failed === 0 ? 'ok    ' : 'FAILED'} ${file}  ${seconds} s`, ...failures, ...end].join('\n'),
  );
}

/**
 * Reads TAP 14 as tap writes it, where a subtest is indented and closed by a result in its parent, and what explains
 * a failure follows it between `---` and `...`.
 *
 * @param {AsyncIterable<string>} lines
 * @returns {Promise<{ pass: number, fail: number, failures: string[] }>} tap's own counts; what failed, and why
 */
async function report(lines) {
  const counts = { pass: 0, fail: 0 };
  /** @type {{ name: string, explained: boolean }[]} the subtests we are in, outermost first */
  const inside = [];
  /** @type {string[]} */
  const failures = [];
  /** How far the explanation of the last failure is indented; nothing else is an explanation that matters. */
  let margin = '-';
  let explaining = false;
  let counted = false;
  for await (const line of lines) {
    if (line === `${margin}---`) explaining = true;
    else if (line === `${margin}...`) explaining = false;
    else if (explaining) failures.push(line);
    if (explaining) continue;
    const depth = line.search(/\S/) / 4;
    const begun = /^ *# Subtest: (.*)/.exec(line);
    const result = /^ *(not )?ok \d+ - (.*)/.exec(line);
    if (begun)
      inside.splice(depth, Number.POSITIVE_INFINITY, { name: begun[1] ?? '', explained: false });
    if (result) {
      const [, not, name = ''] = result;
      margin = '-';
      if (not && !inside[depth]?.explained) {
        const path = inside.slice(0, depth);
        for (const test of path) test.explained = true;
        failures.push(`  ${[...path.map((test) => test.name), name].join(' > ')}`);
        margin = ' '.repeat(depth * 4 + 2);
      }
      inside.length = Math.min(inside.length, depth);
    }
    for (const [, key = '', number] of line.matchAll(/(?<=^# \{.*)(pass|fail): (\d+)/g)) {
      counts[key] = Number(number);
      counted = true;
    }
  }
  // Without its last lines it was broken off, with whatever status.
  if (!counted) counts.fail += 1;
  return { ...counts, failures };
}

const asked = process.argv.slice(2);
if (prepare({ forTests: true })) {
  await compileAll();
  const checks = asked.length === 0 ? ['lint', 'types', 'unused'] : [];
  const files = asked.length === 0 ? allFiles() : asked;
  await inTurn([
    ...checks.map((name) => () => check(name)),
    ...files.map((name) => () => test(name)),
  ]);
} else {
  total.failed += 1;
}
print(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 ? 0 : 1;
