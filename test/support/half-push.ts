import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { quarantineIn } from './appears.ts';
import type { House } from './house.ts';
import { type Pause, pauseAfter } from './pause.ts';
import type { Answer } from './process.ts';

const packBytes = 512 * 1024;

/** A push to a new repository of the admin's that waits in the middle of its pack. */
export async function halfPush(
  t: Test,
  house: House,
  name = 'app',
): Promise<{ pause: Pause; ended: Promise<Answer> }> {
  const { admin } = house;
  await admin.ssh(`init ${name}`);
  const work = await admin.worktree(`half-${name}`);
  writeFileSync(join(work, 'noise'), randomBytes(packBytes));
  await admin.git('add noise', { cwd: work });
  await admin.git('commit -q -m noise', { cwd: work });
  const pause = await pauseAfter(t, admin, packBytes / 2);
  const ended = admin.git(['push', admin.url(name), 'main'], { cwd: work, env: pause.env });
  await pause.reached;
  await quarantineIn(join(house.dataDir, `repositories/ada/${name}.git`));
  return { pause, ended };
}
