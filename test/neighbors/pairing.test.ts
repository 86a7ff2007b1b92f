import t from 'tap';
import { beaconConfig, beaconPort } from '../support/beacon.ts';
import { House } from '../support/house.ts';

const config = (name: string) => `${beaconConfig}public_url: ssh://cpm@${name}.lan:2222\n`;
const [a, b] = await Promise.all([
  House.open(t, { admin: 'ada', config: config('alpha') }),
  House.open(t, { admin: 'bea', config: config('beta') }),
]);

interface Row {
  name: string;
  state: string;
  told_name: string;
}

const json = async <T>(house: House, words: string): Promise<T> => {
  const { stdout, stderr } = await house.operator(`${words} --json`);
  if (stdout === '') throw new Error(`${words}: ${stderr}`);
  return JSON.parse(stdout) as T;
};
const find = (house: House, other: House) =>
  house.operator(`neighbors discover --host 127.0.0.1 --port ${beaconPort(other)} --add`);
const neighbors = (house: House) => json<Row[]>(house, 'neighbors list');

let known = '';

t.test('S23 who was found is called by its key, and can do nothing', async (t) => {
  t.match(await find(a, b), { status: 0 });

  const [row] = await neighbors(a);
  t.match(row, { name: /^nb-[0-9a-f]{12}$/, state: 'unconfirmed', told_name: 'beta' });
  known = row?.name ?? '';
  t.match(await json(a, 'servers list'), []);
  t.match(await a.operator(`neighbors add beta`), { status: 3 }, 'its own name means nothing yet');
  t.match(await a.operator(`push --all --to ${known}`), { status: 3 });
});

t.test('S21 both machines show the same six words; other words use the attempt up', async (t) => {
  const first = await json<{ words: string; changed: boolean }>(a, `neighbors add ${known}`);
  t.match(first, { changed: false, words: /^([a-z]+ ){5}[a-z]+$/ });
  const [asking] = await neighbors(b);
  t.match(asking, { state: 'asking', told_name: 'alpha' });
  const there = await json<{ words: string }>(b, `neighbors add ${asking?.name}`);
  t.equal(there.words, first.words);

  const wrong = ['neighbors', 'add', known, '--words', 'one two three four five six'];
  t.match(await a.operator(wrong), { status: 4, stderr: /the words are not the same/ });
  const right = ['neighbors', 'add', known, '--words', first.words];
  t.match(await a.operator(right), { status: 4 }, 'these words were for one attempt');
  t.match(await json(a, 'servers list'), []);
});

t.test(
  'confirmed on both sides they are servers of each other, called as they call themselves',
  async (t) => {
    const { words } = await json<{ words: string }>(a, `neighbors add ${known}`);
    t.match(await a.operator(['neighbors', 'add', known, '--words', words.toUpperCase()]), {
      status: 0,
    });
    const [asking] = await neighbors(b);
    t.match(await b.operator(['neighbors', 'add', asking?.name ?? '', '--words', words]), {
      status: 0,
    });

    t.match(await json(a, 'servers list'), [{ name: 'beta', role: 'neighbor' }]);
    t.match(await json(b, 'servers list'), [{ name: 'alpha', role: 'neighbor' }]);
    t.match(await a.operator('servers test beta'), { status: 0 });
    t.match(await b.operator('servers test alpha'), { status: 0 });
    t.match(await neighbors(a), [{ name: 'beta', state: 'confirmed' }]);
    t.match(await a.operator(`neighbors add ${known}`), { status: 5 });
  },
);
