import { stat, statfs } from 'node:fs/promises';
import type { Config } from '../config.ts';

/** Bytes of the database's files, and those that are free on the disk of the data directory. */
export interface Space {
  readonly databaseBytes: number;
  readonly freeBytes: number;
}

/** Looks how much there is and how much is left. */
export async function measureSpace({
  dataDir,
  databasePath,
}: Pick<Config, 'dataDir' | 'databasePath'>): Promise<Space> {
  const sizes = await Promise.all(
    ['', '-wal'].map(async (end) => {
      const file = await stat(`${databasePath}${end}`).catch(() => undefined);
      return file?.size ?? 0;
    }),
  );
  const { bavail, bsize } = await statfs(dataDir);
  return { databaseBytes: sizes.reduce((sum, size) => sum + size), freeBytes: bavail * bsize };
}
