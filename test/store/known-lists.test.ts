import t from 'tap';
import { KnownLists } from '../../src/store/known-lists.ts';

const list = (size: number) =>
  new Map(Array.from({ length: size }, (_, n) => [`refs/heads/${n}`, `${n}`.padStart(40, '0')]));

t.test('of lists of refs those that were asked for last are kept', async (t) => {
  const lists = new KnownLists();
  const [one, two, three] = [list(8000), list(8000), list(8000)];
  lists.keep('one', one);
  lists.keep('two', two);
  t.equal(lists.of('one'), one);
  lists.keep('three', three);
  t.equal(lists.of('two'), undefined, 'it had to go');
  t.equal(lists.of('one'), one);
  t.equal(lists.of('three'), three);
  lists.keep('big', list(20_001));
  t.equal(lists.of('big'), undefined, 'one that is too long puts out no other');
  t.equal(lists.of('one'), one);
  lists.keep('three', list(1));
  t.equal(lists.of('three'), three, 'what a digest stands for never changes');
});
