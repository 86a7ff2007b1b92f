import t from 'tap';
import { planRef, type RefState } from '../../src/model/sync-plan.ts';
import { readRefsFile, refLines, refsDigest, writeRefsFile } from '../../src/model/sync-refs.ts';

const [a, b, c] = ['a', 'b', 'c'].map((digit) => digit.repeat(40));
const equals: RefState = {
  ...{ ref: 'refs/heads/main', mine: a, theirs: a, base: a, met: true },
  ...{ deletedThere: undefined, deletedHere: undefined, birth: undefined },
  ...{ decidedThere: false, conflictThere: false, conflictHere: false },
  mirror: false,
  recalled: false,
};
const [one, other] = ['1', '2'].map((digit) => digit.repeat(32));
const deleted = (oid = a ?? '', birth = one) => ({ oid, birth });
const plan = (state: Partial<RefState>) => planRef({ ...equals, ...state }, () => 'apart');

t.test('what a person decided over there, knowing what is here, is done', async (t) => {
  const decidedThere = true;
  t.same(plan({ theirs: b, decidedThere }), { step: 'take', forced: true });
  t.same(plan({ theirs: a, mine: b, base: a, decidedThere }), { step: 'take', forced: true });
  t.same(plan({ theirs: undefined, base: undefined, decidedThere }), { step: 'delete' });
  t.same(plan({ mine: undefined, deletedHere: deleted(), decidedThere }), {
    step: 'take',
    forced: false,
  });
});

t.test('what they found in conflict is one here, though they tell nothing new', async (t) => {
  const conflictThere = true;
  const known = { mine: b, theirs: a, base: a };
  t.same(plan(known), { step: 'nothing' });
  t.same(plan({ ...known, conflictThere }), { step: 'conflict', kind: 'diverged' });
  t.same(plan({ theirs: undefined, base: c, conflictThere }), {
    ...{ step: 'conflict', kind: 'modify_delete' },
  });
  t.same(plan({ mine: undefined, deletedHere: deleted(b), conflictThere }), {
    ...{ step: 'conflict', kind: 'delete_modify' },
  });
});

t.test('what was deleted before it came on another way is deleted there too', async (t) => {
  const here = { mine: undefined, theirs: a, base: undefined, deletedHere: deleted(), birth: one };
  const nothing = { step: 'nothing' };
  t.same(plan(here), { step: 'tell' });
  t.same(plan({ ...here, met: false }), nothing, 'at the first contact nothing is deleted');
  t.same(plan({ ...here, birth: undefined }), nothing, 'nobody knows what it is');
  t.same(plan({ ...here, deletedHere: { oid: a ?? '', birth: undefined } }), nothing);
  t.same(plan({ ...here, base: a }), nothing, 'they are told of it as it is');
  t.same(plan({ ...here, theirs: b }), { step: 'take', forced: false }, 'it moved there since');

  const there = { theirs: undefined, base: undefined, deletedThere: deleted(), birth: one };
  t.same(plan(there), { step: 'delete' });
  t.same(plan({ ...there, met: false }), nothing);
  t.same(plan({ ...there, birth: undefined }), nothing);
  t.same(plan({ ...there, deletedThere: { oid: a ?? '', birth: undefined } }), nothing);
  t.same(plan({ ...there, mine: b }), nothing, 'it moved here since');
  t.same(plan({ ...there, birth: other }), nothing, 'it is another one');
});

t.test(
  'what was made again after its deletion is taken, though it has the same value',
  async (t) => {
    const again = { mine: undefined, theirs: a, base: undefined, deletedHere: deleted() };
    t.same(plan({ ...again, birth: other }), { step: 'take', forced: false });
    t.same(plan({ ...again, birth: other, met: false }), { step: 'nothing' });
    const moved = { ...again, theirs: b, base: a };
    t.same(plan({ ...moved, birth: other }), { step: 'take', forced: false });
    t.same(plan({ ...moved, birth: one }), { step: 'conflict', kind: 'delete_modify' });
  },
);

t.test('a list of refs is read as it was written, and nothing else is', async (t) => {
  const refs = new Map([['refs/heads/a', a ?? '']]);
  const births = new Map([['refs/heads/a', one ?? '']]);
  const gone = new Map([
    ['refs/heads/b', deleted(b)],
    ['refs/heads/c', { oid: c ?? '', birth: undefined }],
  ]);
  const file = { refs, births, deleted: gone };
  const from = { digest: refsDigest(refs), refs };
  t.same(readRefsFile(writeRefsFile(file, undefined), undefined), file);
  t.same(readRefsFile(writeRefsFile(file, from), from), file);
  const both = { ...file, deleted: new Map([['refs/heads/a', deleted()]]) };
  t.same(readRefsFile(writeRefsFile(both, undefined), undefined).deleted, new Map());

  const ref = 'refs/heads/x';
  const bad = [ref, `- ${ref}`, `- ${one} ${ref}`, `- ${a} ${ref}`, `+ ${a} ${ref}`, `+ ${ref}`];
  const worse = [`${one} ${ref}`, `${a} ${one} ${ref}`, `+ ${a} ${one} ${ref}`, `${a}  ${ref}`, ''];
  for (const line of [...bad, ...worse, `- ${a} ${one} refs/cpm/x`, `+ ${one} refs/heads/..`]) {
    t.throws(() => readRefsFile(`all\n${line}\n`, undefined), Error, line);
  }
  const twice = `- ${a} ${one} ${ref}\n`.repeat(2);
  t.throws(() => readRefsFile(`all\n${twice}`, undefined), { message: /twice/ });
});

t.test('what only a server has that led before moves nothing, and is for a person', async (t) => {
  const recalled = true;
  const conflict = (kind: string) => ({ step: 'conflict', kind });
  t.same(plan({ theirs: b, recalled }), conflict('diverged'), 'also where nobody moved it here');
  t.same(plan({ theirs: b, recalled, ref: 'refs/tags/v1' }), conflict('tag_moved'));
  t.same(plan({ mine: undefined, base: undefined, recalled }), conflict('delete_modify'));
  t.same(plan({ theirs: undefined, deletedThere: deleted(), recalled }), conflict('modify_delete'));
  t.same(plan({ theirs: undefined, recalled }), { step: 'nothing' }, 'absent is not deleted');
  t.same(plan({ mine: b, recalled }), { step: 'nothing' }, 'they have what was sent from there');
  const behind = planRef({ ...equals, theirs: b, recalled }, () => 'behind');
  t.same(behind, { step: 'nothing' }, 'it is in ours');
});

t.test('a list of refs is in the order of its bytes, whatever its names are made of', async (t) => {
  const plain = ['z', 'a/b', 'a-b', 'a', 'Z', 'a.b', '\u00e4', '\uffee'].map(
    (name) => `refs/heads/${name}`,
  );
  for (const names of [plain, [...plain, 'refs/heads/\u{1f600}']]) {
    const inOrder = names.toSorted((one, other) =>
      Buffer.compare(Buffer.from(one), Buffer.from(other)),
    );
    const lines = refLines(new Map(names.map((ref) => [ref, a ?? ''])));
    t.same(
      lines,
      inOrder.map((ref) => `${a} ${ref}\n`),
    );
  }
});
