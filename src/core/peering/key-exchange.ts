import { UserError } from '../../model/errors.ts';
import {
  type HostNews,
  readHostNews,
  readSignInNews,
  type SignInNews,
  signInNewsNamespace,
  signInNewsText,
} from '../../model/key-news.ts';
import { readSigner } from '../../model/signer.ts';
import { fingerprint, publicKeyLine } from '../../model/sshkey.ts';
import type { Actor } from '../../store/changes.ts';
import type { Server } from '../../store/servers.ts';
import type { Core } from '../core.ts';
import { readPrivateKey } from '../house.ts';
import type { Asked } from './asked.ts';
import { ownHostKeys } from './own.ts';
import type { Answers, Questions } from './protocol.ts';
import type { Remote } from './remote.ts';

/** A server that is told of a key after its time still gets a moment to change over. */
const leastMs = 60_000;
const mostMs = 400 * 86_400_000;

/**
 * Tells a server of keys of ours that it does not know yet, and hears of its own. Where neither side has any, which is
 * nearly always, nothing is asked.
 *
 * @param announced - the fingerprint of the host key that the server says it announces
 */
export async function exchangeKeys(
  core: Core,
  remote: Remote,
  { announced, by }: { announced: string | null; by: Actor },
): Promise<void> {
  const { store, log } = core;
  const { server } = remote;
  const [signIn, host] = [await signInNews(core, server), await untoldHost(core, server)];
  const known = await store.serverKeys.announced(server.id);
  const hears = announced === null ? known.length > 0 : !known.some(isOf(announced));
  if (signIn === undefined && host === undefined && !hears) return;
  const asked = { signIn: signIn?.news ?? null, host: host?.news ?? null };
  const answer = await remote.ask('keys', asked);
  if (answer.refused !== null) {
    log.warn({ server: server.name, why: String(answer.refused) }, 'new keys were not taken');
  }
  for (const told of [signIn, host]) {
    if (told !== undefined) await store.ownKeys.tell(server.id, told.fingerprint);
  }
  if (answer.host !== null) {
    const taken = await takeHostNews(core, server, { news: { ...answer.host }, by });
    if (!taken) log.warn({ server: server.name }, 'announces a host key, and proves nothing');
  } else if (known.length > 0) {
    await store.serverKeys.settle(server, answer.shown.map(String), by);
  }
}

function isOf(print: string) {
  return (key: { readonly fingerprint: string }) => key.fingerprint === print;
}

/** Answers another server's `keys`. */
export async function answerKeys(
  { core, server, by }: Asked,
  question: Readonly<Record<string, unknown>>,
): Promise<Answers['keys']> {
  const { signIn, host } = question as Partial<Questions['keys']>;
  const refused: string[] = [];
  if (host && !(await takeHostNews(core, server, { news: { ...host }, by }))) {
    refused.push('the pinned host key does not say so');
  }
  if (signIn && !(await takeSignInNews(core, server, { news: { ...signIn }, by }))) {
    refused.push('the new key to sign in with is not proven');
  }
  const shown = (await ownHostKeys(core)).map((each) => each.fingerprint);
  const news = await hostNews(core);
  return {
    host: news?.news ?? null,
    shown,
    refused: refused.length === 0 ? null : refused.join('; '),
  };
}

/** The fingerprint of the host key that is announced here. */
export async function announcedHostKey(core: Pick<Core, 'store'>): Promise<string | null> {
  return (await core.store.ownKeys.of('host')).at(-1)?.fingerprint ?? null;
}

async function hostNews({ store }: Pick<Core, 'store'>) {
  const next = (await store.ownKeys.of('host')).at(-1);
  if (next?.statement === undefined) return undefined;
  return { fingerprint: next.fingerprint, news: JSON.parse(next.statement) as HostNews };
}

async function untoldHost(core: Pick<Core, 'store'>, { id }: Server) {
  const news = await hostNews(core);
  if (news === undefined) return undefined;
  return (await core.store.ownKeys.told(news.fingerprint)).has(id) ? undefined : news;
}

/** What a server is to be told of the key that we sign in with; undefined where it was told. */
async function signInNews({ store, config }: Core, { id }: Server) {
  const earlier = await store.ownKeys.of('sign-in');
  const until = earlier.at(-1)?.until;
  if (until === undefined) return undefined;
  const signer = readSigner(await readPrivateKey(config.sshKeyPath));
  const print = fingerprint(signer.publicKey.blob);
  if ((await store.ownKeys.told(print)).has(id)) return undefined;
  const old = earlier.map((each) => each.fingerprint);
  const said = { house: store.houseId, old, line: publicKeyLine(signer.publicKey), until };
  const proof = signer.sign(signInNewsNamespace, signInNewsText(said));
  const news: SignInNews = { ...said, proof };
  return { fingerprint: print, news };
}

interface News {
  readonly news: Readonly<Record<string, unknown>>;
  readonly by: Actor;
}

/** Takes a host key of a server besides the pinned one. @returns whether that one says so */
async function takeHostNews(core: Core, server: Server, { news, by }: News): Promise<boolean> {
  const { serverKeys } = core.store;
  const known = await serverKeys.announced(server.id);
  const pinned = [server.hostKey ?? '', ...known.map((each) => each.fingerprint)];
  const key = readHostNews(news, { house: server.houseId, pinned });
  if (key === undefined) return false;
  const print = fingerprint(key.blob);
  if (pinned.includes(print)) return true;
  await serverKeys.announce(server, { fingerprint: print, line: publicKeyLine(key) }, by);
  core.audit.noted('host key announced', { server: server.name, fingerprint: print });
  return true;
}

/** Lets a server sign in with its new key; the others end. @returns whether it is proven to follow one of them */
async function takeSignInNews(core: Core, server: Server, { news, by }: News): Promise<boolean> {
  const { servers, serverKeys } = core.store;
  const known = (await servers.keysOf(server.id)).map((each) => each.fingerprint);
  const read = readSignInNews(news, { house: server.houseId, known });
  if (read === undefined) return false;
  const ms = Math.min(Math.max(Date.parse(read.until) - Date.now(), leastMs), mostMs);
  const until = new Date(Date.now() + ms).toISOString();
  const ending = await serverKeys.succeed(server, { ...read, until }, by);
  for (const { keyId, at } of ending) core.sessions.endKeyAt(keyId, at, replaced);
  const print = fingerprint(read.key.blob);
  core.audit.noted('server key', { server: server.name, fingerprint: print, others_end: until });
  return true;
}

const replaced = new UserError('denied', 'another key took the place of this one');
