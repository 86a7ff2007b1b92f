import { EventEmitter } from 'node:events';
import { Socket } from 'node:net';
import t from 'tap';
import { Handshakes } from '../../../src/doors/ssh/handshakes.ts';

/** Notes who began, in their order. */
function door() {
  const handshakes = new Handshakes();
  const events = new EventEmitter();
  const began: string[] = [];
  const left: string[] = [];
  const come = (address: string, name = address) => {
    const socket = new Socket();
    const begin = () => {
      began.push(name);
      events.emit(name);
    };
    handshakes.enter({ socket, address, begin, leave: () => left.push(name) });
    return socket;
  };
  const attack = () => {
    for (let n = 0; n < 20; n++) handshakes.failed();
  };
  const turn = (name: string) =>
    new Promise<void>((resolve) => void events.once(name, () => resolve()));
  return { handshakes, began, left, come, attack, turn };
}

t.test('in peace nobody waits', async (t) => {
  const { handshakes, began, come } = door();
  for (let n = 0; n < 19; n++) handshakes.failed();

  come('192.0.2.1');
  come('192.0.2.1', 'again');

  t.strictSame(began, ['192.0.2.1', 'again']);
});

t.test('under attack strangers wait for their turns, network by network', async (t) => {
  const { handshakes, began, come, attack, turn } = door();
  t.teardown(() => handshakes.stop());
  handshakes.signedIn('198.51.100.7');
  attack();

  for (const nth of ['1', '2', '3']) come('192.0.2.1', `flood ${nth}`);
  const gone = come('192.0.2.9', 'gone');
  come('2001:db8::1', 'stranger');
  t.strictSame(began, []);
  come('198.51.100.7', 'known');
  t.strictSame(began, ['known'], 'who is known does not');
  gone.destroy();
  await turn('flood 3');

  t.strictSame(began, ['known', 'flood 1', 'stranger', 'flood 2', 'flood 3']);
});

t.test('once somebody has signed in from there, nobody waits there any more', async (t) => {
  const { handshakes, began, come, attack } = door();
  attack();
  come('192.0.2.1', 'first');
  come('192.0.2.1', 'second');

  handshakes.signedIn('192.0.2.1');

  t.strictSame(began, ['first', 'second']);
});

t.test('who waits gives way to somebody who is known, and to nobody else', async (t) => {
  const { handshakes, left, come, attack } = door();
  t.teardown(() => handshakes.stop());
  handshakes.signedIn('198.51.100.7');
  attack();
  t.notOk(handshakes.giveWay('198.51.100.7'), 'nobody waits');
  const stranger = come('192.0.2.1');

  t.notOk(handshakes.giveWay('192.0.2.2'));
  t.ok(handshakes.giveWay('198.51.100.7'));

  t.strictSame(left, ['192.0.2.1']);
  t.ok(stranger.destroyed);
});
