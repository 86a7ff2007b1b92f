/**
 * Makes a checkout ready to run, with Node's own modules alone: this file works before anything is installed.
 * `node src/prepare.mjs` readies the server; `npm test` and `npm run bench` call `prepare` for more.
 * All it says goes to stderr; stdout belongs to the server.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { buildParts, isInstalled } from './parts.mjs';

/** The folder that holds package.json. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** The bundle that `npm start` runs and the tests test. */
export const bundle = join(root, 'dist', 'cpm.cjs');

const packages = join(root, 'node_modules');
const installCommand = 'apt-get install --yes --no-install-recommends';

/** @type {Readonly<Record<string, string>>} a program, and the Debian package that brings it */
const compilers = { 'g++': 'g++', make: 'make', python3: 'python3' };
const serverPrograms = { git: 'git', ssh: 'openssh-client' };
const testPrograms = {
  'ssh-keygen': 'openssh-client',
  ip: 'iproute2',
  rsync: 'rsync',
  sshd: 'openssh-server',
  strace: 'strace',
  'systemd-analyze': 'systemd',
  zsh: 'zsh',
  fish: 'fish',
};

/** Why a machine can't run cpm, and what to do about it. */
class Unprepared extends Error {
  /** @param {string} message @param {string} hint */
  constructor(message, hint) {
    super(message);
    this.hint = hint;
  }
}

/** @param {string} line */
function say(line) {
  process.stderr.write(`${line}\n`);
}

/**
 * Installs and builds whatever is missing; takes a fifth of a second where nothing is.
 *
 * @param {{ forTests?: boolean, more?: Readonly<Record<string, string>> }} [options] - what shall be runnable besides the
 *   server; `more`: programs, with their Debian packages
 * @returns {boolean} false when this machine can't be readied, after saying why and what to do
 */
export function prepare({ forTests = false, more = {} } = {}) {
  try {
    checkNode();
    const development = forTests || existsSync(join(packages, 'tap'));
    const complete = areInstalled(development);
    needPrograms({
      ...serverPrograms,
      ...(forTests && testPrograms),
      ...more,
      ...(!complete && compilers),
    });
    checkGit();
    if (!complete) installPackages(development);
    checkNativeModules();
    buildBundle();
    compileParts();
    return true;
  } catch (error) {
    if (!(error instanceof Unprepared)) throw error;
    say(`cpm: ${error.message}\nhint: ${error.hint}`);
    return false;
  }
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  throw new Unprepared(
    `Node ${process.versions.node} is too old: 20.19 or newer is needed`,
    'https://nodejs.org/en/download has it for every system',
  );
}

function checkGit() {
  const [major = 0, minor = 0] = (output('git', ['--version']).match(/\d+/g) ?? []).map(Number);
  if (major > 2 || (major === 2 && minor >= 39)) return;
  throw new Unprepared(
    `git ${major}.${minor} is too old: 2.39 or newer is needed`,
    'upgrade git, then run the same command again',
  );
}

/** @param {Readonly<Record<string, string>>} wanted - programs, with their Debian packages */
function needPrograms(wanted) {
  const missing = Object.keys(wanted).filter((program) => !isInstalled(program));
  if (missing.length === 0) return;
  const names = [...new Set(missing.map((program) => wanted[program]))].join(' ');
  const apt = isInstalled('apt-get');
  if (apt && process.getuid?.() === 0) {
    say(`cpm: installing ${names} (missing: ${missing.join(', ')})`);
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    run('apt-get', ['update'], env);
    run('apt-get', [...installCommand.split(' ').slice(1), ...names.split(' ')], env);
    return;
  }
  throw new Unprepared(
    `this machine lacks ${missing.join(', ')}`,
    apt
      ? `sudo apt-get update && sudo ${installCommand} ${names}`
      : `install ${missing.join(', ')} with your system's package manager, then run the same command again`,
  );
}

/** @param {boolean} development - with what only tests and checks need: three times as much */
function installPackages(development) {
  say('cpm: installing packages; compiling some of them takes about a minute');
  npm([
    'ci',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    ...(development ? [] : ['--omit=dev']),
  ]);
  if (development) {
    run(process.execPath, [join(packages, 'tap', 'dist', 'esm', 'run.mjs'), 'build']);
  }
}

/**
 * Whether node_modules holds what package-lock.json wants; npm's own record of what it installed says so.
 *
 * @param {boolean} development
 */
function areInstalled(development) {
  const record = join(packages, '.package-lock.json');
  if (!existsSync(record)) return false;
  const present = locked(record);
  const wanted = Object.entries(locked(join(root, 'package-lock.json')));
  return wanted.every(([path, { version, dev, optional, devOptional }]) => {
    const needless = path === '' || optional || devOptional || (dev && !development);
    return needless || present[path]?.version === version;
  });
}

/**
 * @param {string} file
 * @returns {Record<string, { version?: string, dev?: boolean, optional?: boolean, devOptional?: boolean }>}
 */
function locked(file) {
  return JSON.parse(readFileSync(file, 'utf8')).packages;
}

/** A native module fits one Node version only: after an upgrade of Node it has to be compiled again. */
function checkNativeModules() {
  if (loads(`new (require('better-sqlite3'))(':memory:')`)) return;
  needPrograms(compilers);
  say(`cpm: compiling native modules for Node ${process.versions.node}`);
  npm(['rebuild', '--loglevel=error']);
  if (!loads(`new (require('better-sqlite3'))(':memory:')`)) {
    throw new Unprepared(
      `better-sqlite3 does not load in Node ${process.versions.node}`,
      'read what the compiler said: npm rebuild --foreground-scripts better-sqlite3',
    );
  }
  if (!loads(`if (!require('ssh2/lib/protocol/crypto.js').bindingAvailable) process.exit(1)`)) {
    say('cpm: the ciphers of ssh2 were not compiled: transfers will take more of the processor');
  }
}

/** @param {string} statement */
function loads(statement) {
  return spawnSync(process.execPath, ['-e', statement], { cwd: root }).status === 0;
}

function compileParts() {
  const fault = buildParts();
  if (fault === undefined) return;
  throw new Unprepared(fault, 'what is written in C can not be compiled here');
}

function buildBundle() {
  const sources = ['src', 'package.json', 'package-lock.json'].map((name) => join(root, name));
  if (existsSync(bundle) && statSync(bundle).mtimeMs >= Math.max(...sources.map(newest))) return;
  say('cpm: building dist/cpm.cjs');
  run(process.execPath, [join(root, 'src', 'bundle.mjs')]);
}

/**
 * Folders count too: their time tells that a file is gone.
 *
 * @param {string} path
 * @returns {number} the latest modification of a file or of anything in a folder, in ms
 */
function newest(path) {
  const own = statSync(path);
  if (!own.isDirectory()) return own.mtimeMs;
  return Math.max(own.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
}

/** @param {readonly string[]} args */
function npm(args) {
  const prefix = dirname(dirname(process.execPath));
  // Compiling needs Node's headers. npm would fetch them; most installations of Node bring them along.
  const headers = existsSync(join(prefix, 'include', 'node', 'node.h')) && {
    npm_config_nodedir: prefix,
  };
  const env = { JOBS: 'max', ...headers, ...process.env };
  const script = process.env['npm_execpath'];
  if (script?.endsWith('.js')) run(process.execPath, [script, ...args], env);
  else run('npm', args, env);
}

/** @param {string} program @param {readonly string[]} args @param {NodeJS.ProcessEnv} [env] */
function run(program, args, env = process.env) {
  const stdio = /** @type {const} */ (['ignore', 2, 2]);
  const { status, signal, error } = spawnSync(program, args, { cwd: root, env, stdio });
  if (status === 0) return;
  throw new Unprepared(
    `${program} failed: ${error?.message ?? signal ?? `exit status ${status}`}`,
    `what it said stands above; to see it again: ${program} ${args.join(' ')}`,
  );
}

/** @param {string} program @param {readonly string[]} args */
function output(program, args) {
  return spawnSync(program, args, { encoding: 'utf8' }).stdout ?? '';
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href && !prepare()) {
  process.exitCode = 1;
}
