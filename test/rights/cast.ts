import Sqlite from 'better-sqlite3';
import type { KeyWho } from './key-table.ts';
import { type Answer, looseKey, type Stage } from './stage.ts';
import { ended, people, type Who } from './table.ts';

/** What the table's placeholders stand for. */
export interface Cast {
  /** A second key of each user, to be revoked. */
  readonly spare: ReadonlyMap<string, string>;
  /** A key of tgt's. */
  readonly key: string;
}

/** The roles in acme of those who have one. */
export const roles: Readonly<Partial<Record<string, string>>> = {
  ow: 'owner',
  ad: 'admin',
  me: 'member',
  mx: 'member',
  mmm: 'member',
  aaa: 'admin',
  ooo: 'owner',
};

const siteAdmins: readonly Who[] = ['sa', 'di', 'ex', 'rv'];
/** Whom things are done to. */
const extras = ['tmp', 'red', 'cap', 'mmm', 'aaa', 'ooo', 'tgt', 'vic-op', 'vic-sa'];
const visibilities = ['private', 'internal', 'public'];
const grants = ['re read', 'wr write', 'ag admin', 'org:guests write', 'red read', 'cap admin'];

/** Puts everybody and everything that the table speaks of in its place. */
export async function raise(stage: Stage): Promise<Cast> {
  const spare = await signUp(stage);
  const key = looseKey();
  await done(stage.root(['sshkey', 'add', '-', '--user', 'tgt'], key.line));
  await organize(stage);
  await furnish(stage);
  await bindKeys(stage);
  setByHand(stage.databasePath);
  await end(stage);
  return { spare, key: key.fingerprint };
}

/** @throws with what was said, unless it is done */
export async function done(answer: Promise<Answer>): Promise<Answer> {
  const { status, stdout, stderr } = await answer;
  if (status === 0) return { status, stdout, stderr };
  throw new Error(`status ${status}: ${stdout}${stderr}`);
}

function root(stage: Stage, words: string, stdin?: string): Promise<Answer> {
  return done(stage.root(words.split(' '), stdin));
}

async function signUp(stage: Stage): Promise<Map<string, string>> {
  const spare = new Map<string, string>();
  for (const name of extras) await root(stage, `user add ${name}`);
  for (const who of Object.keys(people) as Who[]) {
    if (who === 'op' || who === 'an') continue;
    const admin = siteAdmins.includes(who) ? ' --admin' : '';
    const key = await stage.makeKey(who);
    await root(stage, `user add ${who} --key -${admin}`, key.line);
    await stage.use(who, key);
    const second = looseKey();
    await root(stage, `sshkey add - --user ${who}`, second.line);
    spare.set(who, second.fingerprint);
  }
  return spare;
}

async function organize(stage: Stage): Promise<void> {
  for (const org of ['acme', 'beta', 'gama']) {
    await done(stage.ask('ow', ['org', 'create', org]));
    await root(stage, `org member add ${org} ad --role admin`);
    await root(stage, `org member add ${org} me`);
  }
  for (const name of ['mx', 'mmm', 'aaa', 'ooo']) {
    await root(stage, `org member add acme ${name} --role ${roles[name]}`);
  }
  await done(stage.ask('st', ['org', 'create', 'guests']));
  await root(stage, 'org member add guests tgt --role owner');
  await root(stage, 'org member remove guests st');
  await root(stage, 'org member add guests go');
}

async function furnish(stage: Stage): Promise<void> {
  for (const visibility of visibilities) {
    for (const space of ['acme', 'un']) {
      const repo = `${space}/${visibility}`;
      await place(stage, repo, visibility);
      if (space === 'acme') await root(stage, `repo access grant ${repo} mx write`);
    }
  }
  await place(stage, 'acme/old', 'private');
  await root(stage, 'repo access grant acme/old mx write');
  await root(stage, 'init beta/app');
  await root(stage, 'init gama/app');
  await root(stage, 'init acme/bin');
  for (const grant of ['wr write', 'ag admin'])
    await root(stage, `repo access grant acme/bin ${grant}`);
  await root(stage, 'repo delete acme/bin --yes');
}

async function place(stage: Stage, repo: string, visibility: string): Promise<void> {
  await root(stage, `init ${repo} --visibility ${visibility}`);
  await done(stage.git('sa', 'push', repo, 'main'));
  await done(stage.git('sa', 'push', repo, 'topic'));
  for (const grant of grants) await root(stage, `repo access grant ${repo} ${grant}`);
}

/** Makes the deploy keys, with what they are bound to. */
async function bindKeys(stage: Stage): Promise<void> {
  const some = '--repo acme/private --repo acme/old --right';
  const flags: Readonly<Record<KeyWho, string>> = {
    dr: `${some} read`,
    dw: `${some} write`,
    df: `${some} write --refs ci/*`,
    dg: '--org acme --right write',
    dx: `${some} write --expires 2020-01-01`,
    dp: `${some} write`,
    dv: `${some} write`,
  };
  for (const who of Object.keys(flags) as KeyWho[]) {
    const key = await stage.makeKey(who);
    const words = ['sshkey', 'add', '-', ...flags[who].split(' ')];
    // Whoever is no site admin has to prove a key first.
    await done(who === 'dp' ? stage.ask('ow', words, key.line) : stage.root(words, key.line));
    await stage.use(who, key);
    if (who === 'dv') await root(stage, `sshkey revoke ${key.fingerprint} --yes`);
  }
}

/** What the commands that are yet to come will set: an archive, what members may, a grant on an organization. */
function setByHand(databasePath: string): void {
  const db = new Sqlite(databasePath);
  const org = "(SELECT id FROM org WHERE name = 'acme')";
  const user = "(SELECT id FROM user WHERE name = 'og')";
  db.exec(`
    UPDATE repository SET archived = 1 WHERE name = 'old';
    UPDATE org SET member_right = 'none' WHERE name = 'beta';
    UPDATE org SET member_right = 'write' WHERE name = 'gama';
    INSERT INTO access_grant (id, on_kind, on_id, who_kind, who_id, right, granted_by, granted_at)
      VALUES ('by-hand', 'org', ${org}, 'user', ${user}, 'write', 'operator', '2026-01-01T00:00:00.000Z');
  `);
  db.close();
}

/** Each of `ended` loses what they had, and signs with what is left. */
async function end(stage: Stage): Promise<void> {
  const [late, pending] = [await stage.makeKey('ex'), await stage.makeKey('pe')];
  await root(stage, 'sshkey add - --user ex --expires 2020-01-01', late.line);
  await done(stage.ask('pe', ['sshkey', 'add', '-'], pending.line));
  await stage.use('ex', late);
  await stage.use('pe', pending);
  const keys = JSON.parse((await root(stage, 'sshkey list --user rv --json')).stdout);
  for (const { fingerprint } of keys) {
    await root(stage, `sshkey revoke ${fingerprint} --user rv --yes`);
  }
  await root(stage, 'user disable di');
  await root(stage, 'user delete de --yes');
  for (const who of ended) {
    const { status } = await stage.ask(who, ['whoami']);
    if (status === 0) throw new Error(`${who} is let in`);
  }
}
