import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');

/** What `node --import` takes to run TypeScript as it stands. */
export const loader = join(root, 'test/loader/register.mjs');

/** The argv that `cpm` is started with: a program and its first arguments. */
export interface Program {
  /** As `npm start` does it, with its flags; `serve` and more follow. */
  readonly server: readonly [string, ...string[]];
  /** As on the command line; a command's words follow. */
  readonly command: readonly [string, ...string[]];
}

/**
 * The bundle, where it is as new as the sources, for it starts in a tenth of the time; else the sources themselves.
 * `test/run.mjs` builds it first and names it in `CPM_TEST_PROGRAM`.
 */
export function findProgram(): Program {
  const bundle = process.env['CPM_TEST_PROGRAM'] ?? freshBundle();
  const main = bundle ? [bundle] : ['--import', loader, join(root, 'src/main.ts')];
  // The runner of the tests loads itself into every Node that a test starts, which takes thrice as long to start then.
  const node = ['/usr/bin/env', '-u', 'NODE_OPTIONS', process.execPath] as const;
  return {
    server: [...node, ...serverFlags(), ...main],
    command: [...node, ...main],
  };
}

function freshBundle(): string | undefined {
  const bundle = join(root, 'dist/cpm.cjs');
  const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' });
  const times = sources.map((file) => statSync(join(root, 'src', file)).mtimeMs);
  return existsSync(bundle) && statSync(bundle).mtimeMs >= Math.max(...times) ? bundle : undefined;
}

/** Those of `npm start`, so that what is tested and measured is what runs. */
function serverFlags(): string[] {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const flags = /exec node (.+) dist\/cpm\.cjs serve$/.exec(scripts.start)?.[1];
  if (flags === undefined) throw new Error(`no flags in the start script: ${scripts.start}`);
  return flags.split(' ');
}
