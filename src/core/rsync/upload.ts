import { constants } from 'node:fs';
import { lstat, mkdir, open, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../../model/errors.ts';
import { isOid } from '../../model/oid.ts';
import { isWritableRef, refFault } from '../../model/ref.ts';
import { quoted } from '../../model/repo.ts';
import type { RefList } from '../../model/sync-refs.ts';
import { buildBare } from '../../programs/bare.ts';
import type { Git } from '../../programs/git.ts';
import { indexPack, openPlain } from '../../programs/pack.ts';
import { allPacked } from '../../programs/packed.ts';

/** What somebody's rsync left in a folder of its own, as far as it is of use: refs, objects, where HEAD leads. */
export interface Upload {
  readonly refs: RefList;
  /** The branch that its HEAD leads to; undefined where that is none. */
  readonly head: string | undefined;
  /** Paths below it. */
  readonly packs: readonly string[];
  readonly loose: readonly string[];
}

const deepest = 64;
const mostEntries = 1_000_000;
const longestRefFile = 4096;
/** Folders of a repository that may have a file of that name. */
const ownFolders = /^(refs|logs|hooks|info|objects|worktrees)\//;
const refused = ['objects/info/alternates', 'objects/info/http-alternates'];

/**
 * Looks at what came in, which may be anything, without following a link and without asking git. Only the refs, HEAD and
 * the objects count: configuration, hooks and whatever else is there is left alone.
 *
 * @throws UserError `corrupt` where a link, a device or alternates are in it, or a ref that nobody may write; `usage` where
 *   the repository came as a folder in the repository
 */
export async function readUpload(folder: string): Promise<Upload> {
  const paths: string[] = [];
  await walk(folder, '', { paths, depth: 0 });
  const nested = paths.find((path) => /^[^/]+\/HEAD$/.test(path) && !ownFolders.test(path));
  if (nested !== undefined) {
    const folder = nested.slice(0, -'/HEAD'.length);
    throw new UserError('usage', `${quoted(folder)} was sent as a folder; nothing was changed`, {
      hint: 'put a slash behind the source, as in: rsync -avz app.git/ cpm@HOST:acme/app.git/',
    });
  }
  const foreign = paths.find((path) => refused.includes(path));
  if (foreign !== undefined) throw notTaken(`${foreign} would lead elsewhere`);
  const refs = new Map<string, string>();
  for await (const entries of allPacked(folder)) {
    for (const [oid, ref] of entries) refs.set(ref, oid);
  }
  for (const path of paths.filter((each) => each.startsWith('refs/'))) {
    if (path.endsWith('.lock')) continue;
    const text = await readShort(join(folder, path));
    if (!isOid(text)) throw notTaken(`${quoted(path)} holds no object id`);
    refs.set(path, text);
  }
  for (const ref of refs.keys()) {
    const fault = isWritableRef(ref) ? refFault(ref) : 'nobody may write there';
    if (fault !== undefined) throw notTaken(`${quoted(ref)}: ${fault}`);
  }
  const head = paths.includes('HEAD') ? await readShort(join(folder, 'HEAD')) : '';
  const branch = /^ref: *refs\/heads\/(.+)$/.exec(head)?.[1];
  const isBranch = branch !== undefined && refFault(`refs/heads/${branch}`) === undefined;
  return {
    refs,
    head: isBranch ? branch : undefined,
    packs: paths.filter((path) => /^objects\/pack\/pack-[0-9a-f]{40,64}\.pack$/.test(path)),
    loose: paths.filter((path) => /^objects\/[0-9a-f]{2}\/[0-9a-f]{38}$/.test(path)),
  };
}

async function walk(
  folder: string,
  below: string,
  { paths, depth }: { paths: string[]; depth: number },
): Promise<void> {
  if (depth > deepest || paths.length > mostEntries) throw notTaken('it has too many folders');
  for (const name of await readdir(join(folder, below))) {
    const path = below === '' ? name : `${below}/${name}`;
    const found = await lstat(join(folder, path));
    if (found.isDirectory()) await walk(folder, path, { paths, depth: depth + 1 });
    else if (found.isFile() && found.nlink === 1) paths.push(path);
    else throw notTaken(`${quoted(path)} is a link or a device`);
  }
}

async function readShort(path: string): Promise<string> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const { buffer, bytesRead } = await file.read(
      Buffer.alloc(longestRefFile),
      0,
      longestRefFile,
      0,
    );
    return buffer.toString('utf8', 0, bytesRead).trimEnd();
  } finally {
    await file.close();
  }
}

/**
 * Makes a repository of ours of what came in: the packs under indexes of our own making, the loose objects as they are,
 * no refs.
 *
 * @param clean - the path of nothing, on the same file system
 * @throws Error with git's words when it does not take a pack
 */
export async function makeClean(
  git: Git,
  { folder, upload, clean }: { folder: string; upload: Upload; clean: string },
  { repoId, signal }: { repoId: string; signal: AbortSignal },
): Promise<void> {
  await buildBare(clean, { defaultBranch: upload.head ?? 'main', repoId });
  for (const path of upload.packs) {
    const pack = await openPlain(join(folder, path));
    try {
      await indexPack(git, clean, { pack, isPart: true, signal });
    } finally {
      await pack.close();
    }
  }
  for (const path of upload.loose) {
    await mkdir(join(clean, path, '..'), { recursive: true, mode: 0o700 });
    await rename(join(folder, path), join(clean, path));
  }
}

/** What was sent is nothing that can be taken; nothing was changed. */
export function notTaken(why: string, cause?: unknown): UserError {
  return new UserError('corrupt', `what was sent is not taken: ${why}; nothing was changed`, {
    hint: 'send a plain bare repository: git clone --bare makes one',
    cause,
  });
}
