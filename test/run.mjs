/**
 * `npm test`: readies the machine, then lint, types, unused code and every test file; `npm test -- FILE…` runs
 * just those files. Node's own modules alone: this file works before anything is installed.
 * The last line is always `N passed, N failed`: assertions, and each check as one.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { bundle, prepare, root } from '../src/prepare.mjs';
import { compileAll } from './loader/hooks.mjs';

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

/** @param {readonly string[]} files - none for all */
async function test(files) {
  // Of several files tap passes over those that aren't there.
  for (const file of files.filter((name) => !existsSync(join(root, name)))) {
    print(`FAILED ${file}: no such file`);
    total.failed += 1;
  }
  // A fifth of a test file's time it waits, for a process, a disk or a clock: one file more than there are processors.
  const jobs = `--jobs=${availableParallelism() + 1}`;
  const args = ['run', '--disable-coverage', '--reporter=tap', jobs, ...files];
  const child = start('node_modules/.bin/tap', args, { CPM_TEST_PROGRAM: bundle });
  child.stderr.pipe(process.stderr);
  const closed = once(child, 'close');
  const { pass, fail } = await report(createInterface({ input: child.stdout }));
  const [status] = await closed;
  total.passed += pass;
  // A run that ended badly with nothing to show for it (no test found, tap itself broken) is a failure too.
  total.failed += status === 0 ? fail : Math.max(fail, 1);
}

/**
 * Reads TAP 14 as tap writes it, where a subtest is indented and closed by a result in its parent, and what explains
 * a failure follows it between `---` and `...`. Prints one line for each file, then what failed in it and why.
 *
 * @param {AsyncIterable<string>} lines
 * @returns {Promise<{ pass: number, fail: number }>} tap's own counts
 */
async function report(lines) {
  const counts = { pass: 0, fail: 0 };
  /** @type {{ name: string, explained: boolean }[]} the subtests we are in, outermost first */
  const inside = [];
  /** @type {string[]} */
  let failures = [];
  /** How far the explanation of the last failure is indented; nothing else is an explanation that matters. */
  let margin = '-';
  let explaining = false;
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
      if (depth === 0) {
        print(`${not ? 'FAILED' : 'ok    '} ${name.replace(' # time=', '  ')}`);
        for (const failure of failures) print(failure);
        failures = [];
      }
    }
    for (const [, key = '', number] of line.matchAll(/(?<=^# \{.*)(pass|fail): (\d+)/g))
      counts[key] = Number(number);
  }
  return counts;
}

const files = process.argv.slice(2);
if (prepare({ forTests: true })) {
  if (files.length === 0) await Promise.all(['lint', 'types', 'unused'].map(check));
  await compileAll();
  await test(files);
} else {
  total.failed += 1;
}
print(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 ? 0 : 1;
