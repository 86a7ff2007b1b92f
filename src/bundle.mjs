/**
 * Builds what `cpm` is started by, out of src/: `dist/program-HASH.cjs`, the whole program in one file; `.cache` and
 * `-flags.cache` beside it, what V8 makes of that file without flags and with those of the server, which saves a third
 * of a start; and `dist/cpm.cjs`, which loads them. The names carry the content's hash, so that a start beside a build gets one of the two whole.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { Module } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');

/** @param {string} entry - what it begins with @returns its text, and everything that it imports */
const textOf = (entry) =>
  buildSync({
    absWorkingDir: root,
    entryPoints: [entry],
    bundle: true,
    write: false,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    external: ['better-sqlite3', 'ssh2'],
    alias: { 'string-width': './src/shell/string-width.ts' },
    define: { 'import.meta.url': 'bundleUrl' },
    banner: { js: "const bundleUrl=require('node:url').pathToFileURL(__filename).href;" },
    logLevel: 'warning',
  }).outputFiles[0]?.text ?? '';
// The wrapper of a CommonJS module; the launcher below calls it as Node would. esbuild leaves letters beyond ASCII in
// comments alone: one of them, and V8 keeps two bytes for each letter of the text, 3 MB more for as long as it runs.
const text = Module.wrap(textOf('src/main.ts').replace(/^#!.*/, '')).replace(/[^\0-\x7f]/g, '?');
const hash = createHash('sha256').update(text).update(process.version).digest('hex').slice(0, 12);
const name = `program-${hash}`;
const fast = `program-${hash}-fast.cjs`;

const launcher = `#!/usr/bin/env node
'use strict';
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { constants, Script } = require('node:vm');
const words = process.argv.slice(2);
// What sshd starts for every connection: where a server runs, the rest is not needed.
if (words.includes('shell') || words.includes('authorized-keys')) {
  require('./${fast}').fast(words).then(
    (status) => {
      if (status === undefined) load();
      else process.stdout.write('', () => process.stderr.write('', () => process.exit(status)));
    },
    ({ message }) => process.stderr.write('cpm: ' + message + '\\nhint: try again soon\\n', () => process.exit(6)),
  );
} else load();

function load() {
const filename = join(__dirname, '${name}.cjs');
let cachedData;
try {
  // V8 takes a cache only under the flags that it was made with.
  const cache = process.execArgv.length === 0 ? '${name}.cache' : '${name}-flags.cache';
  cachedData = readFileSync(join(__dirname, cache));
} catch {}
const importModuleDynamically = constants.USE_MAIN_CONTEXT_DEFAULT_LOADER;
const script = new Script(readFileSync(filename, 'latin1'), { filename, cachedData, importModuleDynamically });
script.runInThisContext().call(exports, exports, require, module, filename, __dirname);
}
`;

mkdirSync(dist, { recursive: true });
const older = readdirSync(dist).filter((file) => /^program-.*\.(cjs|cache)$/.test(file));
place(`${name}.cjs`, text);
place(fast, textOf('src/doors/forced/fast.ts'));
makeCache(join(dist, `${name}.cache`), []);
makeCache(join(dist, `${name}-flags.cache`), serverFlags());
place('cpm.cjs', launcher);
for (const file of older.filter((file) => !file.startsWith(name))) rmSync(join(dist, file));

/** @param {string} file @param {string} content */
function place(file, content) {
  writeFileSync(join(dist, `${file}.new`), content);
  chmodSync(join(dist, `${file}.new`), 0o755);
  renameSync(join(dist, `${file}.new`), join(dist, file));
}

/**
 * What V8 has compiled once a command has read its words and its configuration: all that a start needs.
 *
 * @param {string} cache - where to put it
 * @param {readonly string[]} flags - with which the program is started
 */
function makeCache(cache, flags) {
  const filename = join(dist, `${name}.cjs`);
  const maker = `
    const { readFileSync, writeFileSync } = require('node:fs');
    const { constants, Script } = require('node:vm');
    const [filename, cache] = process.argv.slice(1);
    const importModuleDynamically = constants.USE_MAIN_CONTEXT_DEFAULT_LOADER;
    const script = new Script(readFileSync(filename, 'latin1'), { filename, importModuleDynamically });
    process.argv.splice(1, 2, filename, 'whoami', '--data-dir', filename + '.none');
    process.on('exit', () => writeFileSync(cache, script.createCachedData()));
    const require_ = require('node:module').createRequire(filename);
    script.runInThisContext().call({}, {}, require_, { exports: {} }, filename, process.cwd());
  `;
  const env = { PATH: process.env['PATH'] ?? '' };
  const args = [...flags, '--eval', maker, filename, cache];
  spawnSync(process.execPath, args, { env, stdio: 'ignore' });
  chmodSync(cache, 0o644);
}

/** Those of `npm start`, which keep the server small. */
function serverFlags() {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return /exec node (.+) dist\/cpm\.cjs serve$/.exec(scripts.start)?.[1]?.split(' ') ?? [];
}
