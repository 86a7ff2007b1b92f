import { join } from 'node:path';
import type { Core } from '../core.ts';
import { readId } from '../repos.ts';
import { findStrays } from '../strays.ts';
import { type Finding, fail, ok, some, warn } from './finding.ts';

/** The database, as SQLite finds it. */
export function checkDatabase({ store }: Core): Finding {
  const faults = store.check();
  if (faults.length === 0) return ok('database', 'SQLite finds nothing wrong');
  return fail('database', some(faults), 'stop the server and restore a backup into a new place');
}

const pageRows = 500;

/** Whether each row has its repository, and each repository its row. */
export async function checkRepositories(core: Core): Promise<readonly Finding[]> {
  const { store, repos, config } = core;
  const missing: string[] = [];
  let count = 0;
  for (let after = { namespace: '', name: '' }; ; ) {
    const page = await store.repositories.page({ kind: 'all' }, { after, limit: pageRows });
    for (const repo of page) {
      count += 1;
      if ((await readId(repos.directory(repo))) === repo.id) continue;
      // It may have been moved or removed while this looked.
      if ((await store.repositories.byId(repo.id))?.fullName === repo.fullName) {
        missing.push(repo.fullName);
      }
    }
    const last = page.at(-1);
    if (last === undefined) break;
    after = last;
  }
  const strays: string[] = [];
  for await (const { fullName } of findStrays(store, join(config.dataDir, 'repositories'))) {
    strays.push(fullName);
  }
  const about = 'repositories';
  if (missing.length > 0) {
    const detail = `in the record and not on the disk: ${some(missing)}`;
    return [fail(about, detail, 'put it back from a backup or another server')];
  }
  if (strays.length === 0) return [ok(about, `all ${count} are where the record has them`)];
  const detail = `on the disk and not in the record: ${some(strays)}`;
  return [warn(about, detail, 'see them with: list --discover; take them in with: repo adopt')];
}

/** More than that can not be told from what a clock may be corrected by. */
const slackMs = 5000;

/** A clock that went back makes ends of keys and times of the record wrong. */
export async function checkClock({ audit, store }: Core): Promise<Finding> {
  await audit.head();
  const [last] = await store.changes.after((await store.changes.newest()) - 1, 1);
  const aheadMs = last === undefined ? 0 : Date.parse(last.at) - Date.now();
  if (aheadMs <= slackMs) return ok('clock', new Date().toISOString());
  return fail(
    'clock',
    `it is ${Math.round(aheadMs / 1000)} s behind the newest change on record`,
    'set it, and keep it by NTP',
  );
}

/** Other servers that all has stopped with, and keys that nobody has confirmed since a restore. */
export async function checkTrust({ store }: Core): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const stopped = (await store.servers.list()).filter(({ state }) => state === 'untrusted');
  for (const { name, error } of stopped) {
    const hint = `compare it there, then: servers trust ${name} --fingerprint SHA256:…`;
    findings.push(fail('servers', `${name} is not trusted: ${error}`, hint));
  }
  if ((await store.restored.pending()) !== undefined) {
    const detail = 'only site admins sign in: the keys of a restored backup are not confirmed';
    findings.push(warn('restored', detail, 'cpm backup restore SRC --confirm-keys'));
  }
  return findings;
}
