/**
 * `npm run dist`: makes `dist/cpm-VERSION-PLATFORM-ARCH.tar.gz`, in which is all that cpm needs besides git and ssh: Node,
 * the compiled parts, the packages that the program does not hold itself. It is for machines without npm, without a
 * compiler and without a network, of the same kind as this one. Prints the path of the archive.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, relative, sep } from 'node:path';
import { prepare, root } from './prepare.mjs';

/** What src/bundle.mjs leaves out of the program. */
const outside = ['better-sqlite3', 'ssh2'];
/** Only fetches a compiled part, which is here. */
const needless = ['prebuild-install'];

const launcher = `#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
exec "$here/../dist/node" "$here/../dist/cpm.cjs" "$@"
`;

/** @param {string} file @returns {any} */
const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'));

/**
 * @param {readonly string[]} names - of packages
 * @param {Set<string>} found
 * @returns {Set<string>} these and all that they need
 */
function closure(names, found = new Set()) {
  for (const name of names.filter((each) => !found.has(each) && !needless.includes(each))) {
    found.add(name);
    const { dependencies = {} } = readJson(join(root, 'node_modules', name, 'package.json'));
    closure(Object.keys(dependencies), found);
  }
  return found;
}

/**
 * Whether a file of a package is needed to run: no sources in C, and of what was compiled the result alone.
 *
 * @param {string} path - within the package
 */
function isNeeded(path) {
  const [top = ''] = path.split(sep);
  if (['deps', 'test', 'examples', 'util'].includes(top)) return false;
  if (path.split(sep).includes('build') && /\.[a-z]+$/.test(path)) return path.endsWith('.node');
  return !/\.(cc|cpp|hpp|h|gyp|md)$/.test(path);
}

/** @param {string} top - the folder that the archive is made of */
function fill(top) {
  for (const folder of ['bin', 'dist', 'node_modules'])
    mkdirSync(join(top, folder), { recursive: true });
  for (const name of ['hooks', 'systemd', 'README.md', 'package.json'])
    cpSync(join(root, name), join(top, name), { recursive: true });
  const own = /^(cpm\.cjs|program-.*|cpm-forced|cpm-sockets\.node)$/;
  for (const name of readdirSync(join(root, 'dist')).filter((each) => own.test(each)))
    copyFileSync(join(root, 'dist', name), join(top, 'dist', name));
  copyFileSync(process.execPath, join(top, 'dist/node'));
  for (const name of closure(outside)) {
    const from = join(root, 'node_modules', name);
    const filter = (/** @type {string} */ file) => file === from || isNeeded(relative(from, file));
    cpSync(from, join(top, 'node_modules', name), { recursive: true, filter });
  }
  writeFileSync(join(top, 'bin/cpm'), launcher);
  chmodSync(join(top, 'bin/cpm'), 0o755);
}

if (prepare()) {
  const { version } = readJson(join(root, 'package.json'));
  const name = `cpm-${version}-${process.platform}-${process.arch}`;
  const [stage, archive] = [join(root, 'dist', 'stage'), join(root, 'dist', `${name}.tar.gz`)];
  rmSync(stage, { recursive: true, force: true });
  fill(join(stage, name));
  const owner = ['--owner=0', '--group=0', '--numeric-owner', '--sort=name'];
  const { status } = spawnSync('tar', ['-C', stage, ...owner, '-czf', `${archive}.new`, name], {
    stdio: ['ignore', 2, 2],
  });
  rmSync(stage, { recursive: true });
  if (status === 0) renameSync(`${archive}.new`, archive);
  process.stdout.write(status === 0 ? `${archive}\n` : '');
  process.exitCode = status ?? 1;
} else {
  process.exitCode = 1;
}
