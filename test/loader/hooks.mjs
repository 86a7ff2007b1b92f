/**
 * Node's module hooks (https://nodejs.org/docs/latest-v20.x/api/module.html#customization-hooks) for the test files
 * and the sources they import. Each is compiled by esbuild once and kept in dist/tests/ under its content's hash:
 * a test file starts in half the time that a compiler in its process would take, and there are many of them.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(import.meta.dirname, '../..');
const store = join(root, 'dist', 'tests');
/** Names the way of compiling: another one must not find what this one made. */
const recipe = readFileSync(fileURLToPath(import.meta.url));

const domain = new URL('./domain.mjs', import.meta.url).href;

/** @type {import('node:module').ResolveHook} */
export async function resolve(specifier, context, next) {
  if (specifier === 'async-hook-domain') return { url: domain, shortCircuit: true };
  return next(specifier, context);
}

/** @type {import('node:module').LoadHook} */
export async function load(url, context, next) {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return next(url, context);
  const { code: source } = await compiled(fileURLToPath(url));
  return { format: 'module', source, shortCircuit: true };
}

/** Compiles all that the tests can import, with one compiler for all of it, and lets go of what older files left. */
export async function compileAll() {
  mkdirSync(store, { recursive: true });
  const files = ['src', 'test'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'))
      .map((name) => join(root, folder, name)),
  );
  const kept = new Set(await Promise.all(files.map(async (file) => (await compiled(file)).kept)));
  for (const name of readdirSync(store)) {
    if (!kept.has(join(store, name))) rmSync(join(store, name), { force: true });
  }
}

/**
 * @param {string} file - of TypeScript
 * @returns {Promise<{ code: string, kept: string }>} the JavaScript, its source map in it, and its place in dist/tests/
 */
async function compiled(file) {
  const text = readFileSync(file, 'utf8');
  const hash = createHash('sha256').update(recipe).update(file).update(text).digest('hex');
  const kept = join(store, `${hash.slice(0, 32)}.mjs`);
  try {
    return { code: readFileSync(kept, 'utf8'), kept };
  } catch {
    const { transform } = await import('esbuild');
    const { code } = await transform(text, {
      loader: 'ts',
      format: 'esm',
      target: 'node20',
      sourcefile: file,
      sourcemap: 'inline',
      sourcesContent: false,
      tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
    });
    mkdirSync(store, { recursive: true });
    writeFileSync(`${kept}.${process.pid}`, code);
    renameSync(`${kept}.${process.pid}`, kept);
    return { code, kept };
  }
}
