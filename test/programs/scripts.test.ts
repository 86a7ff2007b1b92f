import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openGit } from '../../src/programs/git.ts';
import { environmentOf, listProcesses } from '../../src/programs/processes.ts';
import { findScripts, runScript } from '../../src/programs/scripts.ts';

const houseId = crypto.randomUUID();
const root = t.testdir({ home: {}, scripts: {} });
const git = await openGit({ houseId, emptyHome: join(root, 'home') });
const place = { directory: root, quarantine: undefined, signal: new AbortController().signal };

function script(text: string): string {
  const path = join(root, 'scripts', 'one');
  writeFileSync(path, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  return path;
}

t.test('a script that takes too long, or says too much, is ended and is a no', async (t) => {
  const asked = { env: {}, lines: '', longestMs: 300 };

  const late = await runScript(git, place, { ...asked, path: script('echo $$; sleep 60 & wait') });
  t.match(late, { name: 'one', fault: 'it took longer than 300 ms', said: '' });
  const all = await listProcesses();
  const marks = await Promise.all(all.map(({ pid }) => environmentOf(pid)));
  t.notOk(marks.flat().includes(`CPM_HOUSE=${houseId}`), 'with all that it started');

  const path = script('while :; do echo so much to say; done');
  t.match(await runScript(git, place, { ...asked, longestMs: 20_000, path }), {
    fault: /^it wrote more than \d+ bytes$/,
  });
});

t.test('a script that is ended with its request tells so', async (t) => {
  const abort = new AbortController();
  const running = runScript(
    git,
    { ...place, signal: abort.signal },
    {
      path: script('sleep 60'),
      env: {},
      lines: '',
    },
  );
  abort.abort(new Error('gone'));
  await t.rejects(running, { message: 'gone' });
});

t.test('what can not be run, is hidden or no file, is no script', async (t) => {
  const folder = join(root, 'found');
  mkdirSync(join(folder, 'folder'), { recursive: true });
  for (const [name, mode] of [
    ['b', 0o755],
    ['a', 0o700],
    ['.c', 0o755],
    ['d', 0o644],
  ] as const)
    writeFileSync(join(folder, name), '', { mode });
  t.same(await findScripts(folder), [join(folder, 'a'), join(folder, 'b')]);
  t.same(await findScripts(join(root, 'nowhere')), []);
});
