import t from 'tap';
import { guessed, nearest } from '../../src/model/nearest.ts';

const words = ['init', 'list', 'show', 'whoami', 'repo', 'org', 'user', 'sshkey', 'config'];

t.test('a slip of the finger is understood', async (t) => {
  const slips = {
    lsit: 'list',
    lst: 'list',
    lists: 'list',
    iint: 'init',
    whomai: 'whoami',
    cofnig: 'config',
    sshkye: 'sshkey',
    usre: 'user',
    rpeo: 'repo',
    ogr: 'org',
    shwo: 'show',
  };
  for (const [slip, meant] of Object.entries(slips)) t.equal(nearest(slip, words), meant, slip);
});

t.test('what is like nothing is guessed to be nothing', async (t) => {
  for (const word of ['', 'x', 'go', 'clone', 'frobnicate', 'x'.repeat(100_000), '列表'])
    t.equal(nearest(word, words), undefined, word.slice(0, 20));
  t.equal(nearest('list', []), undefined);
});

t.test('of several the nearest is taken, of equals the first', async (t) => {
  t.equal(nearest('lits', ['limit', 'list', 'lists']), 'list');
  t.equal(nearest('cat', ['car', 'cap']), 'car');
});

t.test('a hint says the guess before all else', async (t) => {
  t.equal(guessed('list', 'see all with: help'), 'did you mean list? see all with: help');
  t.equal(guessed(undefined, 'see all with: help'), 'see all with: help');
});
