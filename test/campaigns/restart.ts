import { setTimeout as wait } from 'node:timers/promises';
import type { Test } from 'tap';
import {
  allIsWell,
  type Client,
  clone,
  push,
  repository,
  type Scene,
  scene,
} from './concurrency.ts';

/** What somebody does again and again. @returns what went wrong; nothing when all is well */
type Turn = (round: number) => Promise<string>;

interface Load {
  turns: number;
  longestMs: number;
  readonly faults: string[];
}

/** The server is followed by another process again and again, while clients push, clone and look what is there. */
export async function restarts(
  t: Test,
  { count, clients }: { count: number; clients: number },
): Promise<void> {
  const stage = await scene(t, clients);
  const { house } = stage;
  const first = stage.clients[0] as Client;
  t.equal((await push(first, 'first')).status, 0);
  const stop = new AbortController();
  const load: Load = { turns: 0, longestMs: 0, faults: [] };
  const busy = turnsOf(t, stage).map((turn) => keepBusy(turn, load, stop.signal));

  const pids = new Set([house.pid]);
  const tookMs: number[] = [];
  for (let round = 0; round < count; round++) {
    const began = performance.now();
    const { status, stdout, stderr } = await house.operator('restart --json');
    tookMs.push(performance.now() - began);
    t.equal(status, 0, `restart ${round} ${stderr}`);
    if (status === 0) pids.add(JSON.parse(stdout).pid);
    await wait(Math.random() * 200);
  }
  stop.abort();
  await Promise.all(busy);

  t.equal(pids.size, count + 1, 'each time another process serves');
  t.same(load.faults, [], `${load.turns} turns, and nobody was refused or cut off`);
  t.ok(load.turns >= count, `${load.turns} turns`);
  const median = tookMs.sort((a, b) => a - b)[Math.floor(count / 2)] ?? 0;
  t.comment(
    `${count} restarts of ${Math.round(median)} ms; the longest of ${load.turns} turns took ${Math.round(load.longestMs)} ms`,
  );
  await allIsWell(t, stage);
  const rows = JSON.parse((await house.operator('audit list --action restart --json')).stdout);
  t.ok(rows.every(({ outcome }: { outcome: string }) => outcome === 'ok'));
  t.equal(rows.length, Math.min(count, 100), 'each is on record');
  t.notMatch(house.stderr, /uncaught|unhandled|cleaned up after a crash|request failed/i);
}

function turnsOf(t: Test, stage: Scene): readonly Turn[] {
  const look = (client: Client) => async () => {
    const { status, stderr } = await client.person.git(
      `ls-remote ${client.person.url(repository)}`,
    );
    return status === 0 ? '' : `ls-remote: ${stderr}`;
  };
  return stage.clients.map((client, nth): Turn => {
    if (nth % 3 === 0) {
      return async (round) => {
        const { status, stderr } = await push(client, `round ${round}`);
        return status === 0 ? '' : `push: ${stderr}`;
      };
    }
    if (nth % 3 === 1) return look(client);
    return async (round) => {
      await clone(t, client, stage, `copy-${round}`);
      return '';
    };
  });
}

async function keepBusy(turn: Turn, load: Load, signal: AbortSignal): Promise<void> {
  for (let round = 0; !signal.aborted; round++) {
    const began = performance.now();
    const fault = await turn(round);
    load.turns += 1;
    load.longestMs = Math.max(load.longestMs, performance.now() - began);
    if (fault !== '') load.faults.push(fault);
  }
}
