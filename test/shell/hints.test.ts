import t from 'tap';
import { doors, House } from '../support/house.ts';

t.test('a mistyped word is answered with the one that was meant, at every door', async (t) => {
  const house = await House.open(t);
  const table: readonly [readonly string[], string, string][] = [
    [['lsit'], '"lsit": no such command', 'did you mean list?'],
    [['usr', 'list'], '"usr": no such command', 'did you mean user?'],
    [['user', 'ad', 'ana'], 'user "ad": no such command', 'did you mean user add?'],
    [['org', 'member', 'lsit', 'crew'], 'org "member"', 'did you mean org member list?'],
    [['repo', 'acess', 'grant', 'a', 'b', 'read'], '"acess"', 'did you mean repo access grant?'],
    [['list', '--jsno'], '"--jsno" is no flag', 'did you mean --json?'],
    [['init', 'x', '--visibilty', 'public'], 'is no flag', 'did you mean --visibility?'],
    [['list', '--log'], '"--log" is no flag of cpm', 'did you mean --long?'],
    [['init', 'x', '--visibility', 'pubilc'], 'not a visibility', 'did you mean public?'],
    [['repo', 'access', 'grant', 'a', 'b', 'wirte'], 'not a right', 'did you mean write?'],
    [['config', 'get', 'limits.idel'], 'is no setting', 'did you mean limits.idle?'],
  ];
  for (const { name, run } of doors(house)) {
    for (const [words, what, guess] of table) {
      const { status, stderr, stdout } = await run(words);
      const title = `${name}: ${words.join(' ')}`;
      t.match({ status, stdout }, { status: 2, stdout: '' }, title);
      t.ok(stderr.includes(what) && stderr.includes(`hint: ${guess}`), `${title}\n${stderr}`);
    }
  }
  const { stderr } = await house.admin.ssh('lsit --json');
  t.match(JSON.parse(stderr).error, { code: 'usage', hint: /^did you mean list\?/ });
});
