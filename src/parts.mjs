/**
 * Compiles the parts of cpm that are C into dist/: `npm install` calls it for the packed program, src/prepare.mjs for a
 * checkout. Where no compiler is, Node and other programs do what these would, only slower. Node's own modules alone.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** @returns {string | undefined} what the compiler said of a part that it could not make */
export function buildParts() {
  const node = `-DNODE=${JSON.stringify(process.execPath)}`;
  return (
    compile('src/doors/forced/client.c', 'cpm-forced', [node]) ??
    compile('src/programs/sockets.c', 'cpm-sockets.node', ['-shared', '-fPIC'])
  );
}

/** @param {string} from @param {string} to - its name in dist/ @param {readonly string[]} flags */
function compile(from, to, flags) {
  const [source, made] = [join(root, from), join(root, 'dist', to)];
  if (existsSync(made) && statSync(made).mtimeMs >= statSync(source).mtimeMs) return undefined;
  const compiler = ['cc', 'gcc', 'clang'].find(isInstalled);
  if (compiler === undefined) return undefined;
  mkdirSync(dirname(made), { recursive: true });
  // A server may have the old one loaded: its file stays as it is.
  const args = ['-O2', '-Wall', '-Wextra', ...flags, '-o', `${made}.new`, source];
  const { status, stderr, error } = spawnSync(compiler, args, { encoding: 'utf8' });
  if (status !== 0) return `${compiler} ${args.join(' ')}: ${error?.message ?? stderr}`;
  renameSync(`${made}.new`, made);
  return undefined;
}

/**
 * sshd lives where a plain user's PATH doesn't look.
 *
 * @param {string} program
 */
export function isInstalled(program) {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin'];
  return folders.some((folder) => folder !== '' && isExecutable(join(folder, program)));
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const fault = buildParts();
  if (fault !== undefined) process.stderr.write(`cpm works without it, only slower: ${fault}\n`);
}
