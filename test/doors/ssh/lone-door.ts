import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { pipeline } from 'node:stream/promises';
import { openSshDoor } from '../../../src/doors/ssh/server.ts';
import { createLog } from '../../../src/log.ts';
import { generateEd25519 } from '../../../src/model/ed25519.ts';
import { checkBlob } from '../../../src/model/sshkey.ts';
import type { Request } from '../../../src/shell/request.ts';
import { ownerOf, usualLimits } from './house.ts';

// A door in a process of its own, which lets everybody in. It prints its port, and ends with its input.
const door = await openSshDoor({
  hostKeys: [generateEd25519().privateKey],
  limits: () => usualLimits,
  log: createLog('error'),
  identify: async (blob) => ownerOf(checkBlob(blob), 'ana'),
  signedIn: async () => undefined,
  signInFailed: () => undefined,
  run: async ({ words, stdio }: Request) => {
    const child = spawn(words[0] ?? 'true', words.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdin.on('error', () => undefined);
    stdio.stdin.pipe(child.stdin);
    const output = pipeline(child.stdout, stdio.stdout, { end: false });
    const [status] = await once(child, 'exit');
    await output;
    return status ?? 1;
  },
});
const { port } = await door.listen({ host: '127.0.0.1', port: 0 });
process.stdout.write(`${port}\n`);
process.stdin.resume().on('end', () => void door.close({ graceMs: 0 }));
