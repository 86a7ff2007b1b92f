import { appendFileSync, chmodSync, cpSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { RepositorySizes } from '../../src/programs/repository-sizes.ts';
import { sizeOfTree } from '../../src/programs/size.ts';
import { must } from '../support/process.ts';

const env = { GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' };
/** An hour on: nothing is just being written. */
const later = () => Date.now() + 3_600_000;

/** A bare repository, and what writes a blob into it. @returns the folder of the loose object */
async function repository(directory: string) {
  await must('git', ['init', '-q', '--bare', directory], { env });
  const git = async (words: string[], stdin = '') =>
    (await must('git', words, { cwd: directory, env, stdin })).stdout.trim();
  const write = async (text: string) => {
    const oid = await git(['hash-object', '-w', '--stdin'], text);
    return join(directory, 'objects', oid.slice(0, 2));
  };
  return { git, write };
}

t.test('a repository is measured as if all of it were read each time', async (t) => {
  const directory = join(t.testdir(), 'app.git');
  const { git, write } = await repository(directory);
  const sizes = new RepositorySizes(later);
  const equal = async (what: string) =>
    t.equal(await sizes.measure(directory), await sizeOfTree(directory), what);

  await equal('an empty one');
  for (let n = 0; n < 30; n += 1) await write(`${n}`);
  await equal('with new folders');
  for (let n = 30; n < 60; n += 1) await write(`${n}`);
  await equal('with more in folders that were there');
  const oid = await git(['hash-object', '-w', '--stdin'], 'packed');
  await git(['pack-objects', '-q', 'objects/pack/pack'], `${oid}\n`);
  await git(['prune-packed', '-q']);
  await equal('with one packed, and gone from its folder');
  cpSync(directory, `${directory}.copy`, { recursive: true });
  rmSync(directory, { recursive: true });
  t.equal(await sizes.measure(directory), 0, 'gone');
  cpSync(`${directory}.copy`, directory, { recursive: true });
  await equal('another one in its place');
});

t.test(
  'a folder is read again when a name comes or goes, and while one may just come',
  async (t) => {
    const directory = join(t.testdir(), 'app.git');
    const { write } = await repository(directory);
    const [folder, other] = [await write('one'), await write('two')];
    const [file = ''] = readdirSync(folder);
    chmodSync(join(folder, file), 0o600);
    const sizes = { resting: new RepositorySizes(later), busy: new RepositorySizes(() => 0) };
    const read = await sizes.resting.measure(directory);
    t.equal(await sizes.busy.measure(directory), read);

    // What git never does to an object: it shows who has read it.
    appendFileSync(join(folder, file), 'x'.repeat(1000));

    t.equal(await sizes.resting.measure(directory), read, 'it was not read again');
    t.equal(await sizes.busy.measure(directory), read + 1000);
    const [gone = ''] = readdirSync(other);
    const { size } = statSync(join(other, gone));
    rmSync(join(other, gone));
    t.equal(await sizes.resting.measure(directory), read - size, 'the folder that changed was');
  },
);

t.test('what is measured seldom is forgotten', async (t) => {
  const folder = t.testdir();
  const first = join(folder, 'first.git');
  const { write } = await repository(first);
  const objects = await write('one');
  const sizes = new RepositorySizes(later);
  const before = await sizes.measure(first);
  const [file = ''] = readdirSync(objects);
  chmodSync(join(objects, file), 0o600);
  appendFileSync(join(objects, file), 'x');

  for (let n = 0; n < 63; n += 1) await sizes.measure(join(folder, `other-${n}`));
  t.equal(await sizes.measure(first), before);
  for (let n = 0; n < 64; n += 1) await sizes.measure(join(folder, `other-${n}`));

  t.equal(await sizes.measure(first), before + 1);
});
