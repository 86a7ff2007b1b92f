import { copyFileSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { findProgram } from '../../support/program.ts';
import { scenarios } from './scenarios.ts';

// As on a machine without a C compiler: the program alone, with no client beside it.
const bundle = findProgram().command.at(-1) ?? '';
const folder = mkdtempSync(join(dirname(bundle), 'alone-'));
t.teardown(() => rmSync(folder, { recursive: true }));
process.env['CPM_TEST_PROGRAM'] = join(folder, 'cpm.cjs');
for (const file of readdirSync(dirname(bundle)))
  if (/^(program-.*|cpm)\.(cjs|cache)$/.test(file))
    copyFileSync(join(dirname(bundle), file), join(folder, file));

await scenarios(t, 'node');
