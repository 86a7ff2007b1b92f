import t from 'tap';
import { PushQueue } from '../../src/core/push-queue.ts';
import { UserError } from '../../src/model/errors.ts';
import { ordinal } from '../../src/model/units.ts';

/** Asks for a turn, and keeps what it is told. */
function ask(queue: PushQueue, asker: string) {
  const places: number[] = [];
  const gone = new AbortController();
  const told = (place: number) => void places.push(place);
  const turn = queue.enter(asker, { signal: gone.signal, told });
  turn.catch(() => undefined);
  return { turn, places, gone };
}

t.test('turns come in the order of asking, and every change of place is told', async (t) => {
  const queue = new PushQueue(2);
  const [one, two] = [ask(queue, 'ana'), ask(queue, 'ana')];
  const [three, four, five] = [ask(queue, 'ana'), ask(queue, 'ana'), ask(queue, 'ana')];

  t.match(await one.turn, { waited: false });
  t.same([one.places, two.places], [[], []]);
  t.same([three.places, four.places, five.places], [[1], [2], [3]]);

  (await one.turn).leave();
  (await one.turn).leave();
  t.match(await three.turn, { waited: true });
  t.same([three.places, four.places, five.places], [[1], [2, 1], [3, 2]]);

  four.gone.abort();
  await t.rejects(four.turn, { code: 'unavailable' });
  t.same(five.places, [3, 2, 1], 'who stood behind moves up');

  (await two.turn).leave();
  (await five.turn).leave();
  (await three.turn).leave();
  t.match(await ask(queue, 'ana').turn, { waited: false });
});

t.test('nobody waits for anybody else', async (t) => {
  const queue = new PushQueue(1);
  t.match(await ask(queue, 'ana').turn, { waited: false });
  const waiting = ask(queue, 'ana');

  t.match(await ask(queue, 'bo').turn, { waited: false });
  t.same(waiting.places, [1]);
});

t.test('who comes when a turn ends does not get ahead of those who wait', async (t) => {
  const queue = new PushQueue(1);
  const first = ask(queue, 'ana');
  const second = ask(queue, 'ana');
  (await first.turn).leave();
  const third = ask(queue, 'ana');

  t.match(await second.turn, { waited: true });
  t.same(third.places, [1]);
});

t.test('a wait ends with the reason that the door gave, and before it began too', async (t) => {
  const queue = new PushQueue(1);
  await ask(queue, 'ana').turn;
  const waiting = ask(queue, 'ana');
  waiting.gone.abort(new UserError('denied', 'this key is revoked'));
  await t.rejects(waiting.turn, { code: 'denied', message: 'this key is revoked' });

  const signal = AbortSignal.abort(new UserError('denied', 'too late'));
  await t.rejects(queue.enter('bo', { signal, told: () => undefined }), { message: 'too late' });
});

t.test('places are told as people count', async (t) => {
  const table = { 1: '1st', 2: '2nd', 3: '3rd', 4: '4th', 11: '11th', 13: '13th', 22: '22nd' };
  for (const [place, text] of Object.entries(table)) t.equal(ordinal(Number(place)), text);
  t.equal(ordinal(111), '111th');
  t.equal(ordinal(103), '103rd');
});
