import t from 'tap';
import { openCore } from '../../src/core/core.ts';
import { createRun } from '../../src/shell/run.ts';
import { memoryFolder } from '../support/memory-folder.ts';
import { raise } from './cast.ts';
import { InProcess, makeProps } from './in-process.ts';
import { deployKeys } from './key-table.ts';
import { play } from './play.ts';
import { people, rows } from './table.ts';

const folder = memoryFolder(t);
const stage = await InProcess.open(folder, await makeProps(folder), { openCore, createRun });
t.teardown(() => stage.close());
const cast = await raise(stage);

t.test('everybody is answered as the table of rights has it', async (t) => {
  const surprises = await play(stage, cast, {});

  t.ok(rows.length > 3000, `${rows.length} rows`);
  const everybody = [...Object.keys(people), ...Object.keys(deployKeys)];
  t.equal(everybody.length, new Set(rows.map(({ who }) => who)).size, 'everybody asks');
  t.strictSame(surprises, []);
  t.match(await stage.core.chain.verify(undefined), { ok: true }, 'and the record is whole');
});

t.test('S11 a grant is changed only if it still is what the decision was made on', async (t) => {
  const grant = (right: string) => ['repo', 'access', 'grant', 'acme/private', 'tmp', right];

  for (const [first, second] of [
    ['ow', 'ad'],
    ['ad', 'ow'],
  ] as const) {
    const rights = { ow: 'admin', ad: 'read' };
    const answers = await Promise.all([
      stage.ask(first, grant(rights[first])),
      stage.ask(second, grant(rights[second])),
    ]);

    t.strictSame(answers.map(({ status }) => status).sort(), [0, 5], `${first} and ${second}`);
    const winner = answers[0]?.status === 0 ? first : second;
    const { stdout } = await stage.root(['repo', 'access', 'list', 'acme/private', '--json']);
    const held = JSON.parse(stdout).find(({ who }: { who: string }) => who === 'tmp');
    t.equal(held.right, rights[winner]);
    await stage.root(['repo', 'access', 'revoke', 'acme/private', 'tmp']);
  }
});
