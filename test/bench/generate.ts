import { spawn } from 'node:child_process';
import { createCipheriv } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cleanEnv, must } from '../support/process.ts';

/** How big a generated repository is. About 0.75 KiB of pack for each KiB of blobs. */
export interface Size {
  readonly commits: number;
  readonly filesPerCommit: number;
  readonly refs: number;
}

export const full: Size = { commits: 1600, filesPerCommit: 12, refs: 400 };
export const small: Size = { commits: 100, filesPerCommit: 12, refs: 40 };

const blobBytes = 9_600;

/** Bytes that look random and are the same every time: AES in counter mode over zeros. */
function randomText(seed: number): () => string {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, seed), Buffer.alloc(16));
  const zeros = Buffer.alloc((blobBytes * 3) / 4);
  return () => cipher.update(zeros).toString('base64');
}

/** A fast-import stream: one line of history, each commit a few new versions of files, refs spread along it. */
function* stream({ commits, filesPerCommit, refs }: Size): Generator<string> {
  const text = randomText(7);
  const every = Math.max(1, Math.floor(commits / refs));
  for (let n = 1; n <= commits; n += 1) {
    const who = `bench <bench@example.org> ${1_700_000_000 + n * 60} +0000`;
    const files = Array.from({ length: filesPerCommit }, (_, i) => {
      const path = `d${(n * 7 + i) % 40}/e${i}/f${(n * 13 + i * 5) % 30}.txt`;
      return `M 100644 inline ${path}\ndata ${blobBytes}\n${text()}\n`;
    });
    yield `commit refs/heads/main\nmark :${n}\ncommitter ${who}\ndata 8\ncommit \n\n${files.join('')}\n`;
    if (n % every === 0) {
      const name = n % (every * 4) === 0 ? `heads/topic-${n}` : `tags/v${n}`;
      yield `reset refs/${name}\nfrom :${n}\n\n`;
    }
  }
  yield 'done\n';
}

/**
 * A bare repository that is the same on every machine, made once and kept in the temporary folder.
 *
 * @returns its path
 */
export async function generatedRepository(size: Size): Promise<string> {
  const name = `cpm-bench-1-${size.commits}-${size.filesPerCommit}-${size.refs}.git`;
  const path = join(tmpdir(), name);
  if (existsSync(path)) return path;
  const draft = `${path}.${process.pid}`;
  const env = { GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1', HOME: tmpdir() };
  await must('git', ['init', '-q', '--bare', '-b', 'main', draft], { env });
  const config = ['-c', 'core.compression=1', '-c', 'fastimport.unpackLimit=0'];
  const child = spawn('git', [...config, 'fast-import', '--quiet', '--done'], {
    cwd: draft,
    env: cleanEnv(env),
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  const closed = once(child, 'close');
  for (const part of stream(size)) {
    if (!child.stdin.write(part)) await Promise.race([once(child.stdin, 'drain'), closed]);
    if (child.exitCode !== null) break;
  }
  child.stdin.end();
  const [status] = await closed;
  if (status !== 0) throw new Error(`git fast-import ended with ${status}`);
  await must('git', ['repack', '-q', '-a', '-d', '--window=0', '-b'], { cwd: draft, env });
  rmSync(path, { recursive: true, force: true });
  renameSync(draft, path);
  return path;
}
