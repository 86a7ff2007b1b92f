import t from 'tap';
import { UserError } from '../../src/model/errors.ts';
import { flushPkt, pkt } from '../../src/model/pktline.ts';
import { nullOid } from '../../src/model/ref.ts';
import { readRef } from '../../src/programs/refs.ts';
import { ClientGone } from '../../src/transfer/client.ts';
import { makeHouse } from './hub.ts';
import {
  childrenOf,
  commandBytes,
  create,
  door,
  leftIn,
  noise,
  quarantinesIn,
  rawPush,
  seeded,
} from './raw.ts';

t.test('S16 null to null deletes nothing, not even with deletions allowed', async (t) => {
  const house = await makeHouse(t);
  const { first } = await seeded(t, house);
  const push = rawPush(house);

  push.write(commandBytes([`${nullOid} ${nullOid} refs/heads/main`]));

  t.equal(await push.done, 0);
  t.same(push.answer().report, [
    'unpack ok',
    'ng refs/heads/main neither an update nor a deletion',
  ]);
  t.ok(push.answer().flushed);
  t.equal(await readRef(house.repo, 'refs/heads/main'), first);
  t.same(house.core.asked, [], 'the core is not asked about it');
});

t.test(
  'S16 a deletion or an update from a false old value is refused before git runs',
  async (t) => {
    const house = await makeHouse(t);
    const { work, first } = await seeded(t, house);
    const second = await work.commit('second');
    const bogus = 'deadbeef'.repeat(5);

    for (const line of [
      `${bogus} ${nullOid} refs/heads/main`,
      `${bogus} ${second} refs/heads/main`,
      `${nullOid} ${second} refs/heads/main`,
      `${first} ${nullOid} refs/heads/absent`,
    ]) {
      const push = rawPush(house);
      push.write(commandBytes([line]), await work.pack([second], [first]));
      push.end();

      t.equal(await push.done, 0, line);
      t.match(push.answer().report[1], /^ng refs\/heads\/\w+ it .+: fetch first$/, line);
    }
    t.equal(await readRef(house.repo, 'refs/heads/main'), first);
    t.notOk(house.core.asked.some((one) => one.startsWith('admit')));
  },
);

t.test('S16 a ref that is a name for another ref is not written through', async (t) => {
  const house = await makeHouse(t);
  const { work, first } = await seeded(t, house);
  await house.git.run(['symbolic-ref', 'refs/heads/alias', 'refs/heads/main'], { cwd: house.repo });
  const second = await work.commit('second');
  const push = rawPush(house);

  push.write(
    commandBytes([`${first} ${second} refs/heads/alias`]),
    await work.pack([second], [first]),
  );
  push.end();

  t.equal(await push.done, 0);
  t.match(push.answer().report[1], /^ng refs\/heads\/alias it is a name for another ref/);
  t.equal(await readRef(house.repo, 'refs/heads/main'), first);
});

t.test('S16 commands in a push certificate are refused with a sentence', async (t) => {
  const house = await makeHouse(t);
  const { first } = await seeded(t, house);
  const push = rawPush(house);

  push.write(
    pkt('push-cert\0report-status side-band-64k\n'),
    pkt('certificate version 0.1\n'),
    pkt(`${first} ${nullOid} refs/heads/main\n`),
    pkt('push-cert-end\n'),
    flushPkt,
  );

  t.match(await push.done, { code: 'usage', message: /push certificates/, hint: /--signed/ });
  t.equal(await readRef(house.repo, 'refs/heads/main'), first);
});

t.test('S12 refs/replace, refs/cpm and other places are refused one by one', async (t) => {
  const house = await makeHouse(t);
  const { first, work } = await seeded(t, house);
  const refs = [
    `refs/replace/${first}`,
    'refs/cpm/archive/x',
    'refs/heads',
    'refs/heads/',
    'refs/for/main',
    'HEAD',
    'refs/heads/../../config',
    'refs/heads/x.lock',
  ];
  const push = rawPush(house);

  push.write(
    commandBytes([...refs.map((ref) => create(first, ref)), create(first, 'refs/heads/good')]),
    await work.pack([first]),
  );
  push.end();

  t.equal(await push.done, 0);
  const [unpack, ...lines] = push.answer().report;
  t.equal(unpack, 'unpack ok');
  t.equal(lines.length, refs.length + 1);
  for (const [at, ref] of refs.entries()) t.ok(lines[at]?.startsWith(`ng ${ref} `), `${lines[at]}`);
  t.equal(lines.at(-1), 'ok refs/heads/good');
  t.same(house.core.asked[0], 'decide refs/heads/good');
});

t.test('a client that never closes its side is answered when its pack is complete', async (t) => {
  const house = await makeHouse(t);
  const { work, first } = await seeded(t, house);
  const second = await work.commit('second');
  const push = rawPush(house);
  const pack = await work.pack([second], [first]);

  push.write(commandBytes([`${first} ${second} refs/heads/main`]));
  for (const byte of pack) push.write(Buffer.of(byte));

  t.equal(await push.done, 0);
  t.same(push.answer().report, ['unpack ok', 'ok refs/heads/main']);
});

t.test(
  'S11 a right that ended while the pack streamed is gone: nothing of the push stays',
  async (t) => {
    const house = await makeHouse(t);
    const { work, first } = await seeded(t, house);
    const second = await work.commit('second', noise(300_000));
    const pack = await work.pack([second], [first]);
    const asked = door();
    house.core.pause = async (nth) => {
      if (nth === 1) asked.open();
    };
    house.core.decide = (commands, nth) =>
      commands.map(() => (nth === 1 ? undefined : 'your right ended'));
    const push = rawPush(house);
    const ninety = Math.floor(pack.length * 0.9);

    push.write(commandBytes([`${first} ${second} refs/heads/main`]), pack.subarray(0, ninety));
    await asked.opened;
    push.write(pack.subarray(ninety));

    t.equal(await push.done, 0);
    t.same(push.answer().report, ['unpack ok', 'ng refs/heads/main your right ended']);
    t.equal(push.answer().progress, '', 'nothing of how git was ended');
    t.equal(await readRef(house.repo, 'refs/heads/main'), first);
    t.match(house.core.settled, [{ refused: 'your right ended' }]);
    t.same(await leftIn(house), []);
    const { status } = await house.git.run(['cat-file', '-e', second], { cwd: house.repo });
    t.not(status, 0, 'no object of it');
  },
);

t.test(
  'S11 git has all but the last 20 bytes before the second decision, deletions all but the flush',
  async (t) => {
    const house = await makeHouse(t);
    const { work, first } = await seeded(t, house);
    const second = await work.commit('second');
    house.core.decide = (commands, nth) => {
      if (nth === 2) t.equal(house.core.asked.filter((one) => one.startsWith('admit')).length, 1);
      return commands.map(({ new: next }) => (nth === 2 && next === nullOid ? 'no' : undefined));
    };
    const deletion = rawPush(house);

    deletion.write(commandBytes([`${first} ${nullOid} refs/heads/main`], 'report-status'));

    t.equal(await deletion.done, 0);
    t.same(deletion.answer().report, ['unpack ok', 'ng refs/heads/main no']);
    t.equal(await readRef(house.repo, 'refs/heads/main'), first);
    t.same(await leftIn(house), []);
    t.equal(second.length, 40);
  },
);

t.test(
  'a UserError of the core refuses every ref, its hint is told, its status is the answer',
  async (t) => {
    const house = await makeHouse(t);
    const { work, first } = await seeded(t, house);
    const second = await work.commit('second');
    const denied = new UserError('denied', 'you may read it, not write', { hint: 'ask bo' });
    for (const failing of ['decide', 'admit', 'second decide'] as const) {
      house.core.decide = (commands, nth) => {
        if (failing === 'decide' || (failing === 'second decide' && nth === 2)) throw denied;
        return commands.map(() => undefined);
      };
      house.core.admit = async () => {
        if (failing === 'admit') throw denied;
        return house.repo;
      };
      const push = rawPush(house);
      push.write(
        commandBytes([`${first} ${second} refs/heads/main`]),
        await work.pack([second], [first]),
      );
      push.end();

      t.equal(await push.done, 4, failing);
      t.same(
        push.answer().report,
        ['unpack ok', 'ng refs/heads/main you may read it, not write'],
        failing,
      );
      t.match(push.answer().progress, 'hint: ask bo', failing);
    }
    t.same(await leftIn(house), []);
    t.equal(await readRef(house.repo, 'refs/heads/main'), first);
  },
);

t.test(
  'a defect of the core is an internal error to the client and thrown to the shell',
  async (t) => {
    const house = await makeHouse(t);
    const { work, first } = await seeded(t, house);
    const second = await work.commit('second');
    house.core.settle = async () => {
      throw new TypeError('of a bug');
    };
    const push = rawPush(house);

    push.write(
      commandBytes([`${first} ${second} refs/heads/main`]),
      await work.pack([second], [first]),
    );

    t.match(await push.done, { message: 'of a bug' });
    t.same(push.answer().report[1], 'ng refs/heads/main internal error: it could not be recorded');
    t.ok(push.answer().flushed);
  },
);

t.test('a pack over the limit ends with a sentence and status 6', async (t) => {
  const house = await makeHouse(t);
  const { work, first } = await seeded(t, house);
  const second = await work.commit('second', noise(3_000_000));
  house.core.limits.packSizeBytes = 100_000;
  const push = rawPush(house);

  push.write(
    commandBytes([`${first} ${second} refs/heads/main`]),
    await work.pack([second], [first]),
  );
  push.end();

  t.equal(await push.done, 6);
  t.match(push.answer().report[1], /^ng refs\/heads\/main the pack is bigger than 100000 bytes/);
  t.match(house.core.settled, [{ refused: /bigger/ }]);
  t.same(await leftIn(house), []);
  t.equal(await readRef(house.repo, 'refs/heads/main'), first);
});

t.test(
  'more refs than allowed are refused, those that were read with a reason, status 6',
  async (t) => {
    const house = await makeHouse(t);
    const { first } = await seeded(t, house);
    house.core.limits.refsPerPush = 3;
    const push = rawPush(house);

    push.write(commandBytes([1, 2, 3, 4, 5].map((n) => create(first, `refs/heads/b${n}`))));
    push.end();

    t.equal(await push.done, 6);
    t.equal(push.answer().report.length, 5);
    t.same(push.answer().report[1], 'ng refs/heads/b1 too many refs');
    t.match(push.answer().progress, /at most.*refs_per_push.*\nhint: /s);
    t.same(house.core.asked, []);
  },
);

t.test(
  'a client that leaves in its pack leaves no process, no quarantine, no object',
  async (t) => {
    const house = await makeHouse(t);
    const { work, first } = await seeded(t, house);
    const second = await work.commit('second', noise(3_000_000));
    const pack = await work.pack([second], [first]);
    const begun = door();
    house.core.pause = async (nth) => {
      if (nth === 1) begun.open();
    };
    const push = rawPush(house);

    push.write(
      commandBytes([`${first} ${second} refs/heads/main`]),
      pack.subarray(0, pack.length - 30),
    );
    await begun.opened;
    await quarantinesIn(house.repo, 1);
    push.leave();

    t.ok((await push.done) instanceof ClientGone);
    t.match(house.core.settled, [{ refused: /went away/ }]);
    t.same(await leftIn(house), []);
    t.equal(await readRef(house.repo, 'refs/heads/main'), first);
  },
);

t.test('a client whose right ends in its pack is told so', async (t) => {
  const house = await makeHouse(t);
  const { work, first } = await seeded(t, house);
  const second = await work.commit('second', noise(300_000));
  const pack = await work.pack([second], [first]);
  const begun = door();
  house.core.pause = async () => begun.open();
  const push = rawPush(house);

  push.write(commandBytes([`${first} ${second} refs/heads/main`]), pack.subarray(0, 100_000));
  await begun.opened;
  push.leave(new UserError('denied', 'your key was revoked'));

  t.equal(await push.done, 4);
  t.same(push.answer().report, ['unpack ok', 'ng refs/heads/main your key was revoked']);
  t.same(await leftIn(house), []);
});

t.test('a client that leaves after its last bytes: the push is done and settled', async (t) => {
  const house = await makeHouse(t);
  const { work, first } = await seeded(t, house);
  const second = await work.commit('second', noise(2_000_000));
  const settling = door();
  house.core.settle = async () => {
    settling.open();
    push.leave();
    return [];
  };
  const push = rawPush(house);

  push.write(
    commandBytes([`${first} ${second} refs/heads/main`]),
    await work.pack([second], [first]),
  );
  await settling.opened;

  t.equal(await push.done, 0);
  t.match(house.core.settled, [{ refused: undefined }]);
  t.equal(await readRef(house.repo, 'refs/heads/main'), second);
  t.same(await leftIn(house), []);
});

t.test('a client that leaves while git works on the whole push does not undo it', async (t) => {
  const house = await makeHouse(t);
  const { work, first } = await seeded(t, house);
  const second = await work.commit('second', noise(2_000_000));
  house.core.decide = (commands, nth) => {
    // The second decision is the last thing before the last bytes: the client leaves right behind them.
    if (nth === 2) setImmediate(() => push.leave());
    return commands.map(() => undefined);
  };
  const push = rawPush(house);

  push.write(
    commandBytes([`${first} ${second} refs/heads/main`]),
    await work.pack([second], [first]),
  );
  const end = await push.done;

  const tip = await readRef(house.repo, 'refs/heads/main');
  t.equal(house.core.settled.length, 1);
  t.equal(tip === second, house.core.settled[0]?.refused === undefined, 'what was settled is so');
  t.ok(end === 0 || end instanceof ClientGone);
  t.same(await leftIn(house), []);
});

t.test('when git dies before its report, what is on disk decides', async (t) => {
  const house = await makeHouse(t);
  const { work, first } = await seeded(t, house);
  const second = await work.commit('second', noise(300_000));
  const pack = await work.pack([second], [first]);
  house.core.pause = async (nth) => {
    if (nth === 2) for (const pid of await childrenOf(house)) process.kill(pid, 'SIGKILL');
  };
  const push = rawPush(house);

  push.write(commandBytes([`${first} ${second} refs/heads/main`]), pack);

  t.equal(await push.done, 0);
  t.same(push.answer().report[1], 'ng refs/heads/main git ended without a report (status 137)');
  t.match(house.core.settled, [{ refused: /without a report/ }]);
  t.equal(await readRef(house.repo, 'refs/heads/main'), first);
});

t.test(
  'without side-band the report is plain; without report-status a refusal goes to stderr',
  async (t) => {
    const house = await makeHouse(t);
    const { work, first } = await seeded(t, house);
    house.core.decide = (commands) =>
      commands.map(({ ref }) => (ref.endsWith('no') ? 'not here' : undefined));
    const plain = rawPush(house);
    plain.write(
      commandBytes(
        [create(first, 'refs/heads/b'), create(first, 'refs/heads/no')],
        'report-status',
      ),
    );
    plain.write(await work.pack([first]));
    const mute = rawPush(house);
    mute.write(commandBytes([create(first, 'refs/heads/no')], 'ofs-delta'));
    mute.end();

    t.equal(await plain.done, 0);
    t.equal(await mute.done, 0);
    t.same(plain.answer().report, ['unpack ok', 'ok refs/heads/b', 'ng refs/heads/no not here']);
    t.same(mute.answer(), {
      report: [],
      progress: '',
      flushed: false,
      stderr: 'refs/heads/no: not here\n',
    });
  },
);

t.test('what is no git stream ends with a sentence and touches nothing', async (t) => {
  const house = await makeHouse(t);
  const { first } = await seeded(t, house);
  const oid = `${first} ${nullOid}`;
  const streams: [string, Buffer][] = [
    ['text', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['a broken length', Buffer.from('0003')],
    ['a torn packet', Buffer.from('00a0abc')],
    ['a list without its flush', pkt(`${oid} refs/heads/main\0 report-status`)],
    ['a delimiter', Buffer.from('0001')],
    ['no command', Buffer.concat([pkt('hello'), flushPkt])],
    ['capital oids', Buffer.concat([pkt(`${oid.toUpperCase()} refs/heads/main`), flushPkt])],
    ['sha256', commandBytes([create(first, 'refs/heads/x')], 'object-format=sha256')],
  ];
  for (const [title, bytes] of streams) {
    const push = rawPush(house);
    push.write(bytes);
    push.end();

    t.match(await push.done, { code: 'usage' }, title);
  }
  t.same(house.core.asked, []);
  t.equal(await readRef(house.repo, 'refs/heads/main'), first);
});

t.test('names that are not UTF-8 are named in the report as they came', async (t) => {
  const house = await makeHouse(t);
  const { first } = await seeded(t, house);
  const push = rawPush(house);
  const name = Buffer.from([
    0x72, 0x65, 0x66, 0x73, 0x2f, 0x68, 0x65, 0x61, 0x64, 0x73, 0x2f, 0xff,
  ]);

  push.write(
    pkt(Buffer.concat([Buffer.from(`${nullOid} ${first} `), name, Buffer.from('\0report-status')])),
    flushPkt,
  );
  push.end();

  t.equal(await push.done, 0);
  t.match(push.answer().report[1], /not UTF-8/);
});

t.test('two pushes at once: ending one leaves the other’s quarantine alone', async (t) => {
  const house = await makeHouse(t);
  const { work, first } = await seeded(t, house);
  const second = await work.commit('second', noise(1_000_000));
  const pack = await work.pack([second], [first]);
  const begin = async (ref: string) => {
    const begun = door();
    house.core.pause = async () => begun.open();
    const push = rawPush(house);
    push.write(commandBytes([create(second, ref)]), pack.subarray(0, pack.length - 30));
    await begun.opened;
    return push;
  };
  const stays = await begin('refs/heads/stays');
  await quarantinesIn(house.repo, 1);
  const leaves = await begin('refs/heads/leaves');
  await quarantinesIn(house.repo, 2);

  leaves.leave();
  await leaves.done;
  await quarantinesIn(house.repo, 1);
  stays.write(pack.subarray(pack.length - 30));

  t.equal(await stays.done, 0);
  t.equal(await readRef(house.repo, 'refs/heads/stays'), second);
  t.same(await leftIn(house), []);
});

t.test('a client that reads nothing holds up nothing once git has all', async (t) => {
  const house = await makeHouse(t);
  const { work, first } = await seeded(t, house);
  const second = await work.commit('second');
  const settled = door();
  house.core.settle = async () => {
    settled.open();
    return ['a line'];
  };
  const push = rawPush(house);
  const readOn = await push.stopReading();

  push.write(commandBytes([`${first} ${second} refs/heads/main`]));
  push.write(await work.pack([second], [first]));
  await settled.opened;
  readOn();

  t.equal(await push.done, 0);
  t.match(push.answer(), { report: ['unpack ok', 'ok refs/heads/main'], flushed: true });
  t.match(push.answer().progress, /a line\n/);
});
