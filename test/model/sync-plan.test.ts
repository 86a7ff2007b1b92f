import t from 'tap';
import { planRef, type RefState } from '../../src/model/sync-plan.ts';

const [a, b, c] = ['a', 'b', 'c'].map((digit) => digit.repeat(40));
const equals: RefState = {
  ...{ ref: 'refs/heads/main', mine: a, theirs: a, base: a, met: true },
  ...{ deletedThere: false, deletedHere: undefined, decidedThere: false, conflictThere: false },
  mirror: false,
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
