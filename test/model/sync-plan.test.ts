import t from 'tap';
import { planRef, type RefState } from '../../src/model/sync-plan.ts';
import { refLines } from '../../src/model/sync-refs.ts';

const [a, b, c] = ['a', 'b', 'c'].map((digit) => digit.repeat(40));
const equals: RefState = {
  ...{ ref: 'refs/heads/main', mine: a, theirs: a, base: a, met: true },
  ...{ deletedThere: false, deletedHere: undefined, decidedThere: false, conflictThere: false },
  mirror: false,
  recalled: false,
};
const plan = (state: Partial<RefState>) => planRef({ ...equals, ...state }, () => 'apart');

t.test('what a person decided over there, knowing what is here, is done', async (t) => {
  const decidedThere = true;
  t.same(plan({ theirs: b, decidedThere }), { step: 'take', forced: true });
  t.same(plan({ theirs: a, mine: b, base: a, decidedThere }), { step: 'take', forced: true });
  t.same(plan({ theirs: undefined, base: undefined, decidedThere }), { step: 'delete' });
  t.same(plan({ mine: undefined, deletedHere: a, decidedThere }), { step: 'take', forced: false });
});

t.test('what they found in conflict is one here, though they tell nothing new', async (t) => {
  const conflictThere = true;
  const known = { mine: b, theirs: a, base: a };
  t.same(plan(known), { step: 'nothing' });
  t.same(plan({ ...known, conflictThere }), { step: 'conflict', kind: 'diverged' });
  t.same(plan({ theirs: undefined, base: c, conflictThere }), {
    ...{ step: 'conflict', kind: 'modify_delete' },
  });
  t.same(plan({ mine: undefined, deletedHere: b, conflictThere }), {
    ...{ step: 'conflict', kind: 'delete_modify' },
  });
});

t.test('what only a server has that led before moves nothing, and is for a person', async (t) => {
  const recalled = true;
  const conflict = (kind: string) => ({ step: 'conflict', kind });
  t.same(plan({ theirs: b, recalled }), conflict('diverged'), 'also where nobody moved it here');
  t.same(plan({ theirs: b, recalled, ref: 'refs/tags/v1' }), conflict('tag_moved'));
  t.same(plan({ mine: undefined, base: undefined, recalled }), conflict('delete_modify'));
  t.same(plan({ theirs: undefined, deletedThere: true, recalled }), conflict('modify_delete'));
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
