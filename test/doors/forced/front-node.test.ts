import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { findProgram } from '../../support/program.ts';
import { scenarios } from './scenarios.ts';

// As on a machine without a C compiler: the program alone, with no client beside it.
const bundle = findProgram().command.at(-1) ?? '';
const folder = mkdtempSync(join(dirname(bundle), 'alone-'));
t.teardown(() => rmSync(folder, { recursive: true }));
process.env['CPM_TEST_PROGRAM'] = join(folder, 'cpm.cjs');
copyFileSync(bundle, process.env['CPM_TEST_PROGRAM']);

await scenarios(t, 'node');
