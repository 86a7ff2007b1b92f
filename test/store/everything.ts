import type { RefCommand } from '../../src/model/ref.ts';
import type { AuditRow } from '../../src/store/audit.ts';
import type { AuditFilter } from '../../src/store/audit-search.ts';
import type { Namespace } from '../../src/store/names.ts';
import type { Repository } from '../../src/store/repositories.ts';
import type { Store } from '../../src/store/store.ts';
import { actor, freshKey } from './actor.ts';
import { meetNeighbors, meetServers } from './peering.ts';

const nothing = async () => undefined;
const oid = (digit: number) => String(digit).repeat(40);

/** Does once whatever the store can do, each choice of a query that is put together at run time included. */
export async function doEverything(store: Store): Promise<void> {
  const people = await signUp(store);
  await keepKeys(store, people);
  await organize(store, people);
  await host(store, people);
  await record(store);
  await deploy(store, people);
  await restore(store);
  const { bo } = people;
  await store.users.setState(bo, 'disabled', actor());
  await store.users.setState(bo, 'active', actor());
  await store.users.remove(bo, actor());
}

async function restore({ restored }: Store): Promise<void> {
  await restored.begin('x', false, actor());
  await restored.pending();
  await restored.from();
  await restored.confirm(actor());
}

type People = Awaited<ReturnType<typeof signUp>>;

async function signUp({ users, names }: Store) {
  await users.any();
  const add = async (name: string, admin: boolean) => {
    await users.add({ name, admin, key: freshKey() }, actor());
    const user = await users.byName(name);
    if (user === undefined) throw new Error(`${name} was added and is not there`);
    return user;
  };
  const people = { ada: await add('ada', true), bo: await add('bo', false) };
  await users.byId(people.bo.id);
  await users.firstAdmin();
  await users.page('', 10);
  await names.find('ada');
  return people;
}

async function keepKeys({ keys, users }: Store, { ada, bo }: People): Promise<void> {
  const loose = freshKey();
  const pending = await keys.add({ key: loose, userId: bo.id, verified: false }, actor());
  const key = await keys.byId(pending.id);
  if (key === undefined) throw new Error('a key was added and is not there');
  await keys.challenge(key.id);
  await keys.verify(key, actor());
  await keys.inForce(key.fingerprint, key.blob);
  await keys.withFingerprint(key.fingerprint);
  await keys.ofUser(bo.id, key.fingerprint);
  await keys.listOf(bo.id);
  await keys.beginning('SHA256:', 10);
  const by = actor({ keyId: key.id });
  const child = await keys.add({ key: freshKey(), userId: ada.id, verified: true }, by);
  await users.seen([{ userId: ada.id, keyId: child.id, at: new Date().toISOString() }]);
  await keys.addedWith(key.id);
  await keys.family({ keyId: key.id });
  await keys.family({ userId: bo.id });
  const before = new Date().toISOString();
  for (const userId of [undefined, bo.id]) {
    for (const after of [undefined, key]) {
      await keys.unused({ before, userId }, { after, limit: 10 });
    }
  }
  const next = { key: freshKey(), verified: true, overlapMs: 1000 };
  await keys.replace(key, next, actor());
  await keys.revoke({ keyId: key.id }, actor());
  await keys.revoke({ userId: ada.id }, actor());
}

async function organize({ orgs, teams, users }: Store, { ada, bo }: People): Promise<void> {
  await orgs.add({ name: 'acme', description: '', ownerId: ada.id }, actor());
  const acme = await orgs.byName('acme');
  if (acme === undefined) throw new Error('an org was added and is not there');
  await orgs.setRole(acme, bo, { from: undefined, to: 'owner' }, actor());
  await orgs.setRole(acme, ada, { from: 'owner', to: 'member' }, actor());
  await orgs.setRole(acme, ada, { from: 'member', to: 'owner' }, actor());
  await orgs.setRole(acme, bo, { from: 'owner', to: undefined }, actor());
  await orgs.role(acme.id, ada.id);
  await orgs.rolesOf(ada.id);
  await orgs.members(acme.id);
  await orgs.page('', 10);
  await orgs.set(acme, { memberRight: 'write' }, actor());
  await teams.add(acme, 'devs', [ada], actor());
  await teams.find(acme.id, 'devs');
  await teams.list(acme.id);
  await teams.remove(acme, 'devs', [ada], actor());
  await teams.remove(acme, 'devs', [], actor());
  await users.setAdmin(bo, true, actor());
  await orgs.add({ name: 'guild', description: '', ownerId: undefined }, actor());
  const guild = await orgs.byName('guild');
  if (guild !== undefined) await orgs.remove(guild, actor());
  await users.release('guild', actor());
}

async function host(store: Store, { ada, bo }: People): Promise<void> {
  const { access, history, names, purges, pushes, repositories, usage } = store;
  const namespace = await names.find('acme');
  if (namespace === undefined) throw new Error('a namespace was made and is not there');
  const id = crypto.randomUUID();
  const settings = { description: '', visibility: 'private', defaultBranch: 'main' } as const;
  await repositories.add({ id, namespace, name: 'app', ...settings, limit: 9 }, actor(), nothing);
  const app = await repositories.byName(namespace.ownerId, 'app');
  if (app === undefined) throw new Error('a repository was added and is not there');
  await repositories.byId(app.id);
  await repositories.set(app, { visibility: 'internal' }, actor(), nothing);
  await repositories.measured(app.id, 4096);
  await usage.bytesIn(namespace.ownerId);
  await names.beginning('a', 'user', 10);
  for (const viewer of [{ kind: 'all' }, { kind: 'user', id: bo.id }] as const) {
    for (const namespaceId of [undefined, app.namespaceId]) {
      await repositories.page(viewer, {
        after: { namespace: '', name: '' },
        limit: 10,
        namespaceId,
      });
    }
  }

  const on = { kind: 'repo', id: app.id, name: app.fullName } as const;
  const who = { kind: 'user', id: bo.id, text: 'bo' } as const;
  await access.grant(on, who, { from: 'none', to: 'read' }, actor());
  await access.grant(on, who, { from: 'read', to: 'write' }, actor());
  await access.granted(app.id, bo.id);
  await access.holdings(bo.id, app);
  await access.holdingsOn(bo.id, [app]);
  await access.holdingsOf([ada.id, bo.id], app);
  await access.holdings(bo.id, { id: app.id, namespaceId: ada.id });
  await access.adminsOf(app, 'admin');
  await access.list(app);
  await access.listOn([app.namespaceId]);
  await access.revoke(on, who, 'write', actor());

  const by = actor();
  const commands: RefCommand[] = [{ ref: 'refs/heads/main', old: oid(0), new: oid(1) }];
  await pushes.journal(app.id, 'git-receive-pack', false, commands, by);
  await pushes.unsettled();
  const archived = [{ oid: oid(1), ref: 'refs/heads/main' }];
  await pushes.settle(app.id, 'git-receive-pack', { done: commands, archived }, by);
  const gone = [{ ref: 'refs/heads/main', old: oid(1), new: oid(0) }];
  await pushes.settle(app.id, 'git-receive-pack', { done: gone, archived: [] }, by);
  for (const ref of [undefined, 'refs/heads/main']) {
    for (const before of [undefined, 9]) await history.page(app.id, { ref, before, limit: 10 });
  }
  await history.last(app.id, ['refs/heads/main']);
  await history.values(app.id, '', 10);
  await history.valuesOf(app.id, ['refs/heads/main']);
  await history.had(app.id, 'refs/heads/main', oid(1));
  const purge = { repoId: app.id, oid: oid(1) };
  await purges.begin(purge, [oid(1)], actor());
  await purges.isDone(purge);
  await purges.unfinished();
  await purges.finish(purge);
  await meetServers(store, app);
  await meetNeighbors(store, app);
  await move(store, app, namespace);
  await tidy(store, app);
  await rule(store, { app: app.id, acme: app.namespaceId, bo: bo.id });
  await discard(store, app, bo.id);
}

async function tidy({ upkeep }: Store, app: Repository): Promise<void> {
  const before = '2099-01-01';
  await upkeep.recordedRefs(app.id, { after: '', limit: 10 });
  await upkeep.recordedRef(app.id, 'refs/heads/main');
  await upkeep.untidy(10);
  await upkeep.tidiness(app.id);
  await upkeep.tidied(app.id, 1);
  await upkeep.repacked(app.id, before, before);
  await upkeep.toPrune(before, 10);
  await upkeep.tipsBefore(app.id, before, 10);
  await upkeep.withTipsBefore(before, 10);
  const ended = { over: [oid(1)], awaited: [oid(2)], prune: true };
  await upkeep.expire(app, ended, { before, by: actor() });
}

async function discard({ repositories, trash }: Store, app: Repository, userId: string) {
  await trash.add(app, actor(), nothing);
  const [deleted] = await trash.named(app.namespaceId, app.name);
  if (deleted === undefined) throw new Error('a repository was deleted and is not in the trash');
  for (const viewer of [{ kind: 'all' }, { kind: 'user', id: userId }] as const) {
    await trash.page(viewer, { after: { deletedAt: '', id: '' }, limit: 10 });
  }
  await trash.restore(deleted, actor(), { limit: 9, retakes: [], place: nothing });
  await trash.add(app, actor(), nothing);
  await trash.byId(app.id);
  await trash.remove(deleted, actor(), nothing);
  const id = crypto.randomUUID();
  const settings = { description: '', visibility: 'private', defaultBranch: 'main' } as const;
  const namespace = { name: app.namespace, kind: 'org', ownerId: app.namespaceId } as const;
  await repositories.add({ id, namespace, name: 'gone', ...settings }, actor(), nothing);
  const gone = await repositories.byId(id);
  if (gone === undefined) throw new Error('a repository was added and is not there');
  await repositories.remove(gone, actor(), nothing);
}

async function move(store: Store, app: Repository, namespace: Namespace): Promise<void> {
  const { aliases, moves, names, paths, usage, users } = store;
  await moves.begin({ kind: 'repo', subjectId: app.id, from: 'acme/app', to: 'acme/core' });
  await moves.unfinished();
  await moves.end(app.id);
  const place = { namespace, name: 'core', limit: 9, retakes: [] };
  await moves.renameRepo(app, place, actor(), nothing);
  await moves.renameRepo({ ...app, name: 'core' }, { ...place, name: 'app' }, actor(), nothing);
  await paths.at({ namespaceId: namespace.ownerId, name: 'app', text: 'acme/app' });
  const path = { namespaceId: namespace.ownerId, name: 'old', text: 'acme/old' };
  await aliases.add(app, { path, retakes: [] }, actor());
  const alias = await aliases.find('acme/old');
  await aliases.ofRepo(app.id);
  await aliases.page('', 10);
  if (alias !== undefined) await aliases.remove(alias, actor());
  const owner = { kind: 'org', id: namespace.ownerId, name: 'acme' } as const;
  await moves.renameOwner(owner, 'works', actor(), nothing);
  await moves.renameOwner({ ...owner, name: 'works' }, 'acme', actor(), nothing);
  await names.given('works');
  await names.ofOwner(namespace.ownerId);
  await usage.repositoriesIn(namespace.ownerId);
  const [ada, bo] = [await users.byName('ada'), await users.byName('bo')];
  if (ada === undefined || bo === undefined) throw new Error('users were added and are not there');
  await users.offboard(ada, bo, actor());
  await users.setState(ada, 'active', actor());
  await users.offboard(bo, ada, actor());
  await users.setState(bo, 'active', actor());
}

async function deploy(store: Store, { ada }: People): Promise<void> {
  const { deployKeys, imports, names, pushes, repositories } = store;
  const namespace = await names.find('ada');
  if (namespace === undefined) throw new Error('a namespace was made and is not there');
  const id = crypto.randomUUID();
  const settings = { description: '', visibility: 'private', defaultBranch: 'main' } as const;
  await repositories.add({ id, namespace, name: 'lib', ...settings }, actor(), nothing);
  const repo = { id, namespaceId: ada.id };
  const on = { kind: 'repo', id, name: 'ada/lib' } as const;
  const bindings = [{ on, right: 'write', refs: 'ci/*' }] as const;
  const added = await deployKeys.add({ key: freshKey(), verified: true }, bindings, actor());
  await deployKeys.add({ key: freshKey(), verified: false }, bindings, actor());
  await deployKeys.grant(added.id, { on, right: 'read' }, actor());
  await deployKeys.grantsOn(added.id, repo);
  await deployKeys.bindingsOf(added.id);
  for (const scope of [{ repo }, { orgId: ada.id }, { madeBy: ada.id }]) {
    await deployKeys.within(scope);
  }
  await deployKeys.page('', 10);
  await deployKeys.reached(added.id);
  await pushes.madeWith([added.id], '2026-01-01', 10);
  await imports.run([{ user: 'cy', file: 'cy.pub', title: '', key: freshKey() }], actor());
}

async function rule({ rules }: Store, ids: { app: string; acme: string; bo: string }) {
  const on = { kind: 'repo', id: ids.app } as const;
  const terms = {
    pattern: 'main',
    deny: ['force'],
    allow: [{ kind: 'user', id: ids.bo, text: 'bo' }],
    isClosed: false,
    signed: true,
    maxFileBytes: 1,
  } as const;
  const { number } = await rules.add(on, terms, actor());
  await rules.listOn([ids.app, ids.acme]);
  await rules.idsOf(ids.bo);
  await rules.remove(on, number, actor());
  await rules.remove(on, number, actor());
}

async function record(store: Store): Promise<void> {
  const { audit, auditSearch, auditHeads, changes, names, users, repositories } = store;
  const opening: AuditRow = {
    at: new Date().toISOString(),
    phase: 'open',
    request: crypto.randomUUID(),
    principal: 'user:ada',
    principalId: undefined,
    key: 'SHA256:x',
    address: '127.0.0.1',
    door: 'ssh',
    action: 'list',
    target: 'acme/app',
    targetId: undefined,
    outcome: 'open',
    detail: {},
  };
  const head = await audit.append([opening], await audit.head());
  await audit.open();
  await audit.append([{ ...opening, phase: 'close', outcome: 'ok', targetId: 'x' }], head);
  await audit.rows(0, 10);
  await audit.hashAt(1);
  const filters: AuditFilter[] = [
    {},
    { principals: ['user:ada'] },
    { principals: ['user:ada', 'user:eva'] },
    { targetId: 'x' },
    { key: 'SHA256:x' },
    { addresses: ['127.0.0.1', '127.0.0.0/24'] },
    { action: 'list' },
    { since: '2026-01-01', until: '2027-01-01' },
    { principals: ['user:ada'], since: '2026-01-01' },
    { targetId: 'x', action: 'list', until: '2027-01-01' },
  ];
  for (const filter of filters) {
    await auditSearch.within({ above: 0, upTo: 10 }, filter, 10);
    const first = await auditSearch.before(undefined, filter, 1);
    await auditSearch.before(first[0], filter, 10);
  }
  const signed = { seq: 1, hash: 'x', at: '2026-01-01', signature: 'none' };
  await auditHeads.add(signed);
  await auditHeads.last();
  await auditHeads.behind(0);
  await auditHeads.oldestOpen();
  await auditHeads.dropUpTo(signed);
  await auditHeads.checkpoint();
  await changes.after(0, 10);
  changes.onCommit(() => undefined)();
  await changes.newest();
  await names.allOfOwner('ada');
  await users.count();
  await repositories.count();
}
