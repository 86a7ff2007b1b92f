import { networkInterfaces } from 'node:os';
import { UserError } from '../../model/errors.ts';
import { hostCount, hostsOf, parseNetwork } from '../../model/ipv4.ts';
import type { Progress } from '../../programs/watched.ts';
import type { Actor } from '../../store/changes.ts';
import type { Neighbor } from '../../store/neighbors.ts';
import type { Core } from '../core.ts';
import { localNetworks } from './interfaces.ts';
import { type Kind, lookAt, type Sighting } from './look.ts';
import { scan } from './scan.ts';

/** Where to look, and how. */
export interface Search {
  readonly networks: readonly string[];
  readonly hosts: readonly string[];
  readonly port: number;
  readonly timeoutMs: number;
  /** So many at once; undefined for 50, and up to four times as many while all is silent. */
  readonly parallel: number | undefined;
  /** Registers who was found; undefined to look only. */
  readonly by: Actor | undefined;
  readonly signal: AbortSignal;
  readonly progress: ((now: Progress) => void) | undefined;
  /** Hears, at the end, what a person should know besides. */
  note(line: string): void;
}

/** A server that answered and proved its key. */
export interface Discovered {
  readonly address: string;
  readonly found: Extract<Sighting, { kind: 'cpm' }>;
  /** What it is registered as, by now. */
  readonly known: Neighbor | undefined;
}

const usualParallel = 50;
const mostParallel = 4 * usualParallel;

/** Looks around for servers, and tells of each as it is found. @throws UserError `usage` where there is nothing to look at */
export async function* discover(core: Core, search: Search): AsyncGenerator<Discovered> {
  const { port, timeoutMs, signal, note, parallel } = search;
  const { hosts, total, left } = placesOf(search);
  const own = (await core.chain.signer()).publicKey.blob;
  const tally = new Tally();
  const registrar = new Registrar(core, search, await core.store.neighbors.list());
  const pace = { parallel: parallel ?? usualParallel, most: parallel ?? mostParallel, signal };
  const look = (host: string) => lookAt({ host, port, timeoutMs, signal });
  for await (const { host: address, sighting } of scan(hosts, look, pace)) {
    tally.count(sighting.kind);
    search.progress?.({ what: `Looking around, ${tally.found} found`, done: tally.all, total });
    if (sighting.kind !== 'cpm' || sighting.hello.key.equals(own)) continue;
    const known = await registrar.seen(address, sighting);
    yield { address, found: sighting, known };
  }
  await registrar.end();
  for (const each of left) note(`left out: ${each}; name it with --network`);
  note(tally.text(total));
  if (core.config.values['neighbors.listen'].length === 0) {
    note(
      'this server itself is not found: it listens once neighbors.listen is set, to 0.0.0.0:9418',
    );
  }
}

function placesOf({ networks, hosts }: Search) {
  const named = networks.map(parseNetwork);
  const isNamed = networks.length + hosts.length > 0;
  const local = isNamed ? { networks: named, left: [] } : localNetworks(networkInterfaces());
  if (local.networks.length + hosts.length === 0) {
    throw new UserError('usage', 'this machine is on no network that can be looked at by itself', {
      hint: 'name one: neighbors discover --network 192.0.2.0/24',
    });
  }
  const total = local.networks.reduce((sum, each) => sum + hostCount(each), hosts.length);
  return { hosts: chain(hosts, hostsOf(local.networks)), total, left: local.left };
}

function* chain(first: Iterable<string>, second: Iterable<string>): Generator<string> {
  yield* first;
  yield* second;
}

/** Counts who answered, and how. */
class Tally {
  all = 0;
  readonly #counts = new Map<Kind, number>();

  get found(): number {
    return this.#counts.get('cpm') ?? 0;
  }

  count(kind: Kind): void {
    this.all += 1;
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
  }

  text(total: number): string {
    const words: readonly [Kind, string][] = [
      ['cpm', 'cpm servers'],
      ['other-protocol', 'cpm servers of another protocol'],
      ['git-daemon', 'plain git daemons'],
      ['forged', 'forged a hello'],
      ['odd', 'something else'],
      ['closed', 'closed'],
      ['silent', 'silent'],
    ];
    const counts = words.flatMap(([kind, text]) => {
      const count = this.#counts.get(kind) ?? 0;
      return kind === 'other-protocol' && count === 0 ? [] : [`${count} ${text}`];
    });
    const whole = this.all === total ? `${total} addresses` : `${this.all} of ${total} addresses`;
    return `${whole}: ${counts.join(', ')}`;
  }
}

/** Notes who was found where, by their keys, in the registry where that is wanted. */
class Registrar {
  readonly #core: Core;
  readonly #search: Search;
  readonly #known: Map<string, Neighbor>;
  /** Known ones that answered where they were not expected, by key: until they answer where they were, too. */
  readonly #elsewhere = new Map<string, { address: string; found: Discovered['found'] }>();
  readonly #atHome = new Set<string>();
  #refused = 0;

  constructor(core: Core, search: Search, known: readonly Neighbor[]) {
    this.#core = core;
    this.#search = search;
    this.#known = new Map(known.map((each) => [each.key.toString('base64'), each]));
  }

  async seen(address: string, found: Discovered['found']): Promise<Neighbor | undefined> {
    const { key } = found.hello;
    const id = key.toString('base64');
    const known = this.#known.get(id);
    this.#noteTaken(address, key);
    if (known === undefined) return this.#add(address, found);
    if (known.address !== address) {
      if (!this.#elsewhere.has(id)) this.#elsewhere.set(id, { address, found });
    } else {
      this.#atHome.add(id);
      await this.#see(address, found);
    }
    return known;
  }

  /** Who answers elsewhere alone has moved. */
  async end(): Promise<void> {
    const { by, note, signal } = this.#search;
    for (const [id, { address, found }] of this.#elsewhere) {
      const name = this.#known.get(id)?.name;
      // An address that was not looked at may still be right.
      if (this.#atHome.has(id) || signal.aborted) continue;
      if (by !== undefined) await this.#see(address, found);
      note(
        by === undefined
          ? `${name} answers at ${address}: take it over with --add`
          : `${name} is at ${address} from now on`,
      );
    }
    if (this.#refused > 0) note(`${this.#refused} more were not added: remove some first`);
  }

  async #add(address: string, found: Discovered['found']): Promise<Neighbor | undefined> {
    const { neighbors } = this.#core.store;
    const result = await this.#see(address, found);
    if (result === 'full') this.#refused += 1;
    if (result === undefined || result === 'full') return undefined;
    const added = await neighbors.byKey(found.hello.key);
    if (added !== undefined) this.#known.set(added.key.toString('base64'), added);
    return added;
  }

  async #see(address: string, { hello }: Discovered['found']) {
    const { by, port } = this.#search;
    if (by === undefined) return undefined;
    const { key, name: toldName, version, sshPort, publicRepositories } = hello;
    const seen = { key, toldName, version, address, port, sshPort, publicRepositories };
    return this.#core.store.neighbors.see(seen, by);
  }

  /** Another key where a confirmed neighbor was: a new machine, or somebody who pretends. */
  #noteTaken(address: string, key: Buffer): void {
    for (const each of this.#known.values()) {
      const isThere = each.address === address && each.port === this.#search.port;
      if (!isThere || each.serverId === undefined || each.key.equals(key)) continue;
      this.#search.note(`${address} was ${each.name}'s: another key answers there now`);
    }
  }
}
