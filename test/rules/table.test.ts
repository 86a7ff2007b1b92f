import t from 'tap';
import { House } from '../support/house.ts';
import { Stage } from './play.ts';
import { scenes } from './table.ts';

const house = await House.open(t, { shares: true });
const stage = await Stage.raise(house);

t.test('the table of rules has sixty cases and more, each ref of a scene once', async (t) => {
  t.ok(scenes.flatMap(({ cases }) => cases).length >= 60);
  for (const { name, cases } of scenes) {
    t.equal(new Set(cases.map(({ ref }) => ref)).size, cases.length, name);
  }
});

for (const scene of scenes)
  t.test(`S13 every way to move a ref is ruled as the table has it: ${scene.name}`, async (t) => {
    const repo = await stage.repository(scene);
    for (const way of [stage.undos(), stage.merges(), stage.options(), stage.pushes()]) {
      t.strictSame(await stage.play(way, scene, repo), [], way.name);
      await stage.reset(scene, repo);
    }
  });
