import { PassThrough, Writable } from 'node:stream';
import t from 'tap';
import { object, string } from '../../src/commands/answers.ts';
import { command, list } from '../../src/commands/command.ts';
import { UserError } from '../../src/model/errors.ts';
import { errorText, printAnswer, printError, type Style } from '../../src/shell/print.ts';

const piped: Style = { json: false, terminal: undefined };
const json: Style = { json: true, terminal: undefined };
const bright: Style = { json: false, terminal: { columns: 80, colour: true } };
const plain: Style = { json: false, terminal: { columns: 80, colour: false } };

/** Two streams that keep what was written. */
function outlets() {
  const said = { stdout: '', stderr: '' };
  const into = (name: 'stdout' | 'stderr') =>
    new Writable({
      write: (chunk, _encoding, done) => {
        said[name] += chunk;
        done();
      },
    });
  return {
    said,
    stdio: { stdin: new PassThrough(), stdout: into('stdout'), stderr: into('stderr') },
  };
}

const fruits = list({
  words: 'fruit list',
  summary: '',
  examples: [],
  args: { all: { type: 'boolean', description: '' } },
  row: object({ name: string, colour: string }),
  columns: ['NAME', 'COLOUR', 'MORE'],
  hidden: ({ all }) => (all === true ? [] : ['MORE']),
  needs: () => ({ need: 'signed-in' }),
  run: async () => rows([]),
  cells: (row: { name: string; colour: string }) => [row.name, row.colour, 'more'],
});

async function* rows(names: readonly string[]) {
  for (const name of names) yield { name, colour: 'red' };
}

async function printed(names: readonly string[], style: Style, args = {}): Promise<string> {
  const { said, stdio } = outlets();
  await printAnswer(stdio, { command: fruits, args, answer: rows(names) }, style);
  t.equal(said.stderr, '');
  return said.stdout;
}

t.test(
  'without a terminal a list has a line for each row, cells parted by tabs, and no head',
  async (t) => {
    t.equal(await printed([], piped), '');
    t.equal(await printed(['apple', 'fig'], piped), 'apple\tred\nfig\tred\n');
  },
);

t.test('on a terminal a list is aligned under a head, bold where there is colour', async (t) => {
  const table = 'NAME   COLOUR\napple  red\nfig    red\n';
  t.equal(await printed(['apple', 'fig'], plain), table);
  t.equal(await printed(['apple', 'fig'], bright), table.replace(/^.*/, '\x1b[1m$&\x1b[0m'));
  t.equal(await printed([], bright), '', 'an empty list has no head');
});

t.test('some columns are shown on demand', async (t) => {
  t.equal(await printed(['fig'], piped, { all: true }), 'fig\tred\tmore\n');
  t.equal(await printed(['fig'], plain, { all: true }), 'NAME  COLOUR  MORE\nfig   red     more\n');
});

t.test('a list as JSON is one document, however long', async (t) => {
  const names = Array.from({ length: 1000 }, (_, index) => `f${index}`);
  for (const some of [[], ['fig'], names]) {
    const text = await printed(some, json);
    t.strictSame(
      JSON.parse(text),
      some.map((name) => ({ name, colour: 'red' })),
    );
    t.match(text, /\]\n$/);
  }
});

t.test('a list streams: what is known is shown before the rest is', async (t) => {
  const styles = { json, piped, plain };
  for (const [name, style] of Object.entries(styles)) {
    const { said, stdio } = outlets();
    let seen = 0;
    const many = async function* () {
      for (let row = 0; row < 1000; row++) {
        if (row === 500) seen = said.stdout.split('\n').length;
        yield { name: 'fig', colour: 'red' };
      }
    };
    await printAnswer(stdio, { command: fruits, args: {}, answer: many() }, style);
    t.ok(seen > 400, `${name}: ${seen} lines after 500 rows`);
  }
});

t.test('a reader that lags behind holds the list up', async (t) => {
  const { stdio } = outlets();
  const stuck = new Writable({ highWaterMark: 1000, write: () => undefined });
  let made = 0;
  let closed = false;
  const endless = async function* () {
    try {
      for (;;) {
        made += 1;
        yield { name: 'fig', colour: 'red' };
      }
    } finally {
      closed = true;
    }
  };
  const answered = { command: fruits, args: {}, answer: endless() };

  const printing = printAnswer({ ...stdio, stdout: stuck }, answered, piped);
  await new Promise(setImmediate);
  t.ok(made < 300, `${made} rows were made`);
  t.notOk(closed);
  stuck.destroy();
  await printing;
  t.ok(closed, 'and one who is gone ends it');
});

t.test('control characters in a row are shown escaped, and never part it', async (t) => {
  const names = ['a\tb', 'a\nb', '\x1b[31m', 'a\u202eb'];
  const shown = 'a\\x09b\tred\na\\x0ab\tred\n\\x1b[31m\tred\na\\u202eb\tred\n';
  t.equal(await printed(names, piped), shown);
  t.equal((await printed(names, plain)).split('\n').length, names.length + 2);
  t.strictSame(
    JSON.parse(await printed(names, json)).map(({ name }: { name: string }) => name),
    names,
  );
});

const greet = command({
  words: 'greet',
  summary: '',
  examples: [],
  args: {},
  answer: object({ name: string }),
  needs: () => ({ need: 'signed-in' }),
  run: async () => ({ name: '' }),
  text: ({ name }) => (name === '' ? '' : `Hello\n\t${name}`),
});

t.test('a single answer is text for people or one JSON document', async (t) => {
  const show = async (name: string, style: Style) => {
    const { said, stdio } = outlets();
    await printAnswer(stdio, { command: greet, args: {}, answer: { name } }, style);
    return said.stdout;
  };
  t.equal(await show('ana', piped), 'Hello\n\tana\n');
  t.equal(await show('ana', json), '{"name":"ana"}\n');
  t.equal(await show('\x1b[2J', piped), 'Hello\n\t\\x1b[2J\n');
  t.equal(await show('', piped), '', 'no text, no line');
});

t.test('an error says what and why, then what to do, and gives its status', async (t) => {
  const { said, stdio } = outlets();
  const error = new UserError('denied', 'acme/app: you may read it', { hint: 'ask \x1b[1mbo' });

  t.equal(await printError(stdio, error, { json: false, requestId: 'r' }), 4);
  t.equal(said.stderr, 'cpm: acme/app: you may read it\nhint: ask \\x1b[1mbo\n');
  t.equal(said.stdout, '');
  t.equal(errorText(new UserError('usage', 'no')), 'cpm: no');
});

t.test('an error as JSON has code, message and hint, hint also when there is none', async (t) => {
  const { said, stdio } = outlets();

  t.equal(
    await printError(stdio, new UserError('conflict', 'taken'), { json: true, requestId: 'r' }),
    5,
  );
  t.equal(said.stderr, '{"error":{"code":"conflict","message":"taken","hint":null}}\n');
});

t.test('a defect shows its request and nothing of what it was', async (t) => {
  for (const style of [true, false]) {
    const { said, stdio } = outlets();
    const defect = new Error('SELECT * FROM user at /srv/cpm/data');

    t.equal(await printError(stdio, defect, { json: style, requestId: '1b2c' }), 1);
    t.match(said.stderr, /request 1b2c/);
    t.notMatch(said.stderr, /SELECT|srv|at /);
  }
});

t.test('each code has the status of the contract', async (t) => {
  const statuses = {
    internal: 1,
    usage: 2,
    not_found: 3,
    denied: 4,
    conflict: 5,
    unavailable: 6,
    corrupt: 7,
  } as const;
  for (const [code, status] of Object.entries(statuses))
    t.equal(new UserError(code as keyof typeof statuses, '').status, status, code);
});
