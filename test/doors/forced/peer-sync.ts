import type { Test } from 'tap';
import { Front } from '../../support/front.ts';
import { House } from '../../support/house.ts';
import { serverKeyOf } from '../../support/pair.ts';
import { directoryOf, lastRecord, type Place, refsOf } from './behind.ts';

/** A server that knows the house by its sshd alone. @param repo - of the admin's, with something in it */
export function peerSync(t: Test, { house }: Place, repo: string): void {
  t.test('a backup syncs with a main that only sshd lets it into', async (t) => {
    const front = await Front.asCpm(t, house);
    if (front === undefined) return t.pass('only root can give sshd an account more');
    const { port, hostKey } = front.sshd;
    const b = await House.open(t, { admin: 'bea' });
    const main = ['hq', `cpm@127.0.0.1:${port}`, '--role', 'main', '--fingerprint', hostKey];
    for (const [each, words, stdin] of [
      [b, main, serverKeyOf(house)],
      [house, ['b', '--role', 'backup'], serverKeyOf(b)],
    ] as const) {
      t.match(await each.admin.ssh(['servers', 'add', ...words, '--key', '-'], { stdin }), {
        status: 0,
      });
    }

    const synced = await b.admin.ssh('servers sync hq --json');

    t.match(synced, { status: 0, stdout: /"transport":"rsync"/ });
    t.equal(await refsOf(directoryOf(b, repo)), await refsOf(directoryOf(house, repo)));
    t.match(await lastRecord(house, 'sign-in'), { door: 'forced', principal: 'server:b' });
  });
}
