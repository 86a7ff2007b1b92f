import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import type { Test } from 'tap';
import { openCore } from '../../src/core/core.ts';
import { createRun } from '../../src/shell/run.ts';
import { type Cast, raise } from '../rights/cast.ts';
import { type Built, InProcess, makeProps, type Props } from '../rights/in-process.ts';
import { type Mutation, mutations } from '../rights/mutations.ts';
import { play, type Surprise } from '../rights/play.ts';
import { type Row, rows } from '../rights/table.ts';
import { memoryFolder } from '../support/memory-folder.ts';

const root = join(import.meta.dirname, '../..');

/** The sources with one place changed, in a folder of their own, ready to run. */
async function builtWith(folder: string, mutation: Mutation | undefined): Promise<Built> {
  cpSync(join(root, 'src'), join(folder, 'src'), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  if (mutation !== undefined) {
    const file = join(folder, 'src', mutation.file);
    const parts = readFileSync(file, 'utf8').split(mutation.from);
    if (parts.length !== 2) throw new Error(`${mutation.file} has it ${parts.length - 1} times`);
    writeFileSync(file, parts.join(mutation.to));
  }
  const contents = `
    export { openCore } from './src/core/core.ts';
    export { createRun } from './src/shell/run.ts';
  `;
  const outfile = join(folder, 'built.mjs');
  const stdin = { contents, resolveDir: folder };
  const form = { bundle: true, platform: 'node', format: 'esm', packages: 'external' } as const;
  await build({ ...form, stdin, outfile });
  return import(outfile);
}

/** Plays rows on a copy of the furnished data directory. */
async function playWith(
  built: Built,
  { from, to, props, cast }: { from: string; to: string; props: Props; cast: Cast },
  which: readonly Row[],
): Promise<readonly Surprise[]> {
  cpSync(from, to, { recursive: true });
  const stage = await InProcess.open(to, props, built);
  try {
    return await play(stage, cast, { which, limit: 1 });
  } finally {
    await stage.close();
  }
}

/** Each single fault in the rights code is noticed by the table of rights. @param every - tried is every so manieth of them */
export async function faultsNoticed(t: Test, { every }: { every: number }): Promise<void> {
  const folder = memoryFolder(t);
  for (const name of ['house', 'control']) mkdirSync(join(folder, name));
  const from = join(folder, 'house');
  const props = await makeProps(from);
  const stage = await InProcess.open(from, props, { openCore, createRun });
  const cast = await raise(stage);
  await stage.close();
  const noticing = rows.filter(({ words }) => mutations.some((each) => each.noticedBy.test(words)));
  const unchanged = await builtWith(join(folder, 'control'), undefined);
  const furnished = { from, to: join(folder, 'control/house'), props, cast };

  t.strictSame(await playWith(unchanged, furnished, noticing), [], 'nothing without a fault');
  for (const [number, mutation] of mutations.entries()) {
    if (number % every !== 0) continue;
    const place = join(folder, `mutation-${number}`);
    const built = await builtWith(place, mutation);
    const which = rows.filter(({ words }) => mutation.noticedBy.test(words));
    const found = await playWith(built, { ...furnished, to: join(place, 'house') }, which);
    t.equal(found.length, 1, mutation.fault);
  }
}
