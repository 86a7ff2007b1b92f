import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../../model/errors.ts';
import type { Principal } from '../../model/principal.ts';
import { nullOid, type RefCommand, shortRef } from '../../model/ref.ts';
import type { RefList } from '../../model/sync-refs.ts';
import { sizeText } from '../../model/units.ts';
import { checkConnected, indexPack, openPlain, writePack } from '../../programs/pack.ts';
import { writePackedRefs } from '../../programs/packed.ts';
import type { Actor } from '../../store/changes.ts';
import type { Namespace } from '../../store/names.ts';
import type { Repository } from '../../store/repositories.ts';
import type { Core } from '../core.ts';
import { lastWords } from '../peering/admit.ts';
import { changeRefs, notDone } from '../ref-change.ts';
import type { Refusal } from '../refusal.ts';
import { unborn } from '../rules.ts';
import { makeClean, notTaken, readUpload, type Upload } from './upload.ts';

/** What came in by somebody's rsync, and what it is to become. */
export interface Arrived {
  /** The folder that it lies in; its objects are taken out of it. */
  readonly folder: string;
  readonly principal: Principal;
  readonly by: Actor;
  readonly signal: AbortSignal;
}

interface Made {
  readonly arrived: Arrived;
  readonly upload: Upload;
  /** A repository of ours with what came in. */
  readonly clean: string;
}

const action = 'rsync';

/**
 * Moves the refs of a repository to where those of what came in are, all of them or none, as a push from the values that
 * they had when it began.
 *
 * @param before - those values
 * @param deletes - whether a ref that did not come is to be deleted
 * @returns what was done
 * @throws UserError `corrupt`, `denied` by a rule, `conflict` when a ref moved meanwhile; nothing has changed then
 */
export async function admitUpload(
  core: Core,
  arrived: Arrived,
  { repo, before, deletes }: { repo: Repository; before: RefList; deletes: boolean },
): Promise<readonly RefCommand[]> {
  const { principal, by, signal } = arrived;
  return withClean(core, arrived, async (made) => {
    const commands = commandsFor(before, made.upload.refs, deletes);
    if (commands.length === 0) return commands;
    const limit = core.config.values['limits.refs_per_push'];
    if (commands.length > limit) {
      throw new UserError('unavailable', `${commands.length} refs, ${limit} may change at once`, {
        hint: 'push them in several parts with git',
      });
    }
    const release = await core.repos.hold(repo, signal);
    const quarantine = join(core.config.dataDir, 'incoming', `rsync-objects-${randomUUID()}`);
    try {
      await mkdir(join(quarantine, 'pack'), { recursive: true, mode: 0o700 });
      await bringIn(core, made, { repo, commands, before, quarantine });
      const change = { repo, principal, by, signal, commands, action, quarantine } as const;
      const results = await changeRefs(core, { ...change, through: 'git', held: true });
      refuse(results.map(({ command, refused, hint }) => ({ ref: command.ref, refused, hint })));
      core.sizes.changed(repo, core.repos.directory(repo));
      return commands;
    } finally {
      await rm(quarantine, { recursive: true, force: true });
      release();
    }
  });
}

/** Makes the repository that somebody sends and may create. @returns its id, and what was done */
export async function createUpload(
  core: Core,
  arrived: Arrived,
  { namespace, name }: { namespace: Namespace; name: string },
): Promise<{ readonly id: string | undefined; readonly commands: readonly RefCommand[] }> {
  const { principal, by, signal } = arrived;
  return withClean(core, arrived, async ({ upload, clean }) => {
    const commands = commandsFor(new Map(), upload.refs, false);
    // As with a push of nothing.
    if (commands.length === 0) return { id: undefined, commands };
    await writePackedRefs(clean, upload.refs);
    const wanted = { repo: unborn(namespace, name), principal, commands };
    const place = { directory: clean, quarantine: undefined, signal };
    const judged = await core.rules.judge(wanted);
    const early = judged.map(({ refusal }) => refusal);
    const isClear = early.every((refusal) => refusal === undefined);
    const refusals = isClear ? await core.rules.judgeObjects(wanted, judged, place) : early;
    refuse(commands.map(({ ref }, at) => ({ ref, ...asRefused(refusals[at]) })));
    const tell = async () => undefined;
    const no = await core.scripts.refusal(wanted, commands, { by, action, place, tell });
    refuse(commands.map(({ ref }) => ({ ref, ...asRefused(no) })));
    const run = { by, action, signal };
    const { id } = await core.imports.create(
      { namespace, name },
      { kind: 'repository', path: clean },
      run,
    );
    return { id, commands };
  });
}

async function withClean<T>(
  core: Core,
  arrived: Arrived,
  work: (made: Made) => Promise<T>,
): Promise<T> {
  const { folder, signal } = arrived;
  const clean = join(core.config.dataDir, 'incoming', `rsync-clean-${randomUUID()}`);
  try {
    const upload = await readUpload(folder);
    await taking(signal, () =>
      makeClean(core.git, { folder, upload, clean }, { repoId: randomUUID(), signal }),
    );
    return await work({ arrived, upload, clean });
  } finally {
    await rm(clean, { recursive: true, force: true });
  }
}

/** Turns what git does not take into words for people. */
async function taking<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof UserError || signal.aborted) throw cause;
    throw notTaken(lastWords(cause as Error), cause);
  }
}

function commandsFor(before: RefList, refs: RefList, deletes: boolean): readonly RefCommand[] {
  const names = [...new Set([...before.keys(), ...refs.keys()])].sort();
  return names.flatMap((ref) => {
    const old = before.get(ref) ?? nullOid;
    const next = refs.get(ref) ?? (deletes ? nullOid : old);
    return old === next ? [] : [{ ref, old, new: next }];
  });
}

/** Puts what the new values reach and the repository lacks into a quarantine, checked as a push is. */
async function bringIn(
  { git, repos, config }: Core,
  { arrived, clean }: Made,
  {
    repo,
    commands,
    before,
    quarantine,
  }: {
    repo: Repository;
    commands: readonly RefCommand[];
    before: RefList;
    quarantine: string;
  },
): Promise<void> {
  const { signal } = arrived;
  const directory = repos.directory(repo);
  const tips = [...new Set(commands.map((command) => command.new))].filter(
    (oid) => oid !== nullOid,
  );
  if (tips.length === 0) return;
  await taking(signal, async () => {
    const source = join(clean, 'objects');
    const haves = [...new Set(before.values())];
    const made = { wants: tips, haves, folder: quarantine, signal, scratch: source };
    const { name, bytes } = await writePack(git, directory, made);
    const most = config.values['limits.pack_size'];
    if (bytes > most) {
      const sizes = `${sizeText(bytes)} are new, ${sizeText(most)} may come at once`;
      throw new UserError('unavailable', `${sizes} (limits.pack_size)`, {
        hint: 'push in several parts',
      });
    }
    const pack = await openPlain(join(quarantine, name));
    try {
      await indexPack(git, directory, { pack, scratch: quarantine, signal });
    } finally {
      await pack.close();
    }
    await checkConnected(git, directory, { tips, scratch: quarantine, signal });
  });
}

interface Refused {
  readonly ref: string;
  readonly refused: string | undefined;
  readonly hint?: string | undefined;
}

function asRefused(refusal: Refusal | undefined): Omit<Refused, 'ref'> {
  return { refused: refusal?.reason, hint: refusal?.hint };
}

/** @throws UserError `denied` when something stands against one of them */
function refuse(results: readonly Refused[]): void {
  const no = results.filter(({ refused }) => refused !== undefined);
  const first = no.find((each) => each.refused !== notDone) ?? no[0];
  if (first === undefined) return;
  const hint = no.find((each) => each.hint !== undefined)?.hint;
  const more = no.length > 1 ? ` (and ${no.length - 1} more refs)` : '';
  const what = `${shortRef(first.ref)}: ${first.refused}${more}; nothing was changed`;
  throw new UserError('denied', what, hint === undefined ? {} : { hint });
}
