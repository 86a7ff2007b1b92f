import type { PushQueue, Turn } from '../core/push-queue.ts';
import type { Principal } from '../model/principal.ts';
import { ordinal } from '../model/units.ts';
import type { Request } from './request.ts';

/** So often a client that waits is told its place again: silence would pass for a broken connection. */
const repeatMs = 60_000;

/**
 * Waits until another push of the same asker may run, telling the client its place in line.
 *
 * @throws UserError when the client is gone, or may no longer be here
 */
export async function pushTurn(
  queue: PushQueue,
  { principal, stdio, signal }: Request,
): Promise<Turn> {
  let line = '';
  const say = () => {
    if (stdio.stderr.writable && !stdio.stderr.writableNeedDrain) stdio.stderr.write(line);
  };
  let timer: NodeJS.Timeout | undefined;
  const told = (place: number) => {
    line = `busy: ${queue.most} of your pushes run, you are ${ordinal(place)} in line\n`;
    clearInterval(timer);
    timer = setInterval(say, repeatMs);
    say();
  };
  try {
    return await queue.enter(askerId(principal), { signal, told });
  } finally {
    clearInterval(timer);
  }
}

/** Whom a push counts for: a user, whichever key signed; else the key, the server or the operator itself. */
function askerId(principal: Principal): string {
  if (principal.kind === 'deploy-key') return principal.keyId;
  return 'id' in principal ? principal.id : principal.kind;
}
