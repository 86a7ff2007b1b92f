import t from 'tap';
import { House } from '../support/house.ts';
import { raise } from './cast.ts';
import { OpenSsh } from './openssh.ts';
import { play } from './play.ts';
import { ended, rows } from './table.ts';

/** Each question of theirs needs a process or a connection of its own: fewer are asked. */
const slow = (who: string) => who === 'op' || ended.some((each) => each === who);

t.test('the table of rights holds through a real OpenSSH client and a real git', async (t) => {
  const house = await House.open(t, { admin: 'ada', shares: true });
  const stage = new OpenSsh(house);
  const cast = await raise(stage);
  const asked = rows.filter(({ who, words, answer }, number) => {
    if (who === 'an' || /\/(internal|public)/.test(words)) return false;
    // A word that is no word of cpm's is refused before anybody's right is looked at, but not before the door.
    if (ended.includes(who) && answer !== '4') return false;
    return number % (slow(who) ? 20 : 8) === 0;
  });

  const surprises = await play(stage, cast, { which: asked });

  t.ok(asked.length >= 150, `${asked.length} rows`);
  t.strictSame(surprises, []);
});
