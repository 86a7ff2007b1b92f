import { shortOid } from '../model/oid.ts';
import { reaches } from '../model/right.ts';
import { type SignedPart, signedCommit, signedTag, taggedObject } from '../model/signed-object.ts';
import { fingerprint } from '../model/sshkey.ts';
import { signerOf, verifySshSignature } from '../model/sshsig.ts';
import type { Git } from '../programs/git.ts';
import {
  newCommits,
  type ObjectPlace,
  readObjects,
  type Span,
  typesOf,
} from '../programs/new-objects.ts';
import type { Store } from '../store/store.ts';
import type { AccessControl } from './access.ts';
import type { RuledRepo } from './refusal.ts';

/** The namespace that git signs in. */
const namespace = 'git';

/** How deep annotated tags may name each other. */
const deepestTag = 10;

/** How many signatures are checked before others have the loop. */
const atOnce = 20;

export interface SignatureParts {
  readonly store: Store;
  readonly access: AccessControl;
  readonly git: Git;
}

/**
 * Whether commits and annotated tags are signed by a key of an active user with write on a repository, valid now (S13).
 * git's own means to verify are not used: no ring of keys but the store's counts.
 */
export class Signatures {
  readonly #parts: SignatureParts;
  readonly #repo: RuledRepo;
  /** Why a key does not count, by fingerprint; undefined where it does. */
  readonly #faults = new Map<string, string | undefined>();

  constructor(parts: SignatureParts, repo: RuledRepo) {
    this.#parts = parts;
    this.#repo = repo;
  }

  /**
   * What is wrong with the first new object that is not signed as it should be; undefined when all are.
   *
   * @param others - oids of the span that no branches are to get: git lets a branch have a commit alone
   * @param present - oids that refs have already: a tag among them is not new
   */
  async faultIn(
    place: ObjectPlace,
    span: Span,
    { others, present }: { others: readonly string[]; present: ReadonlySet<string> },
  ): Promise<string | undefined> {
    const { git } = this.#parts;
    const news = others.filter((oid) => !present.has(oid));
    const types = news.length === 0 ? [] : await typesOf(git, place, news);
    for (const [at, oid] of news.entries()) {
      if (types[at] === 'commit') continue;
      if (types[at] !== 'tag') return `${shortOid(oid)} is neither a commit nor a tag`;
      const fault = await this.#tagFault(place, oid, present);
      if (fault !== undefined) return fault;
    }
    for await (const oids of newCommits(git, place, span)) {
      for (const [at, { oid, content }] of (await readObjects(git, place, oids)).entries()) {
        if (at % atOnce === 0) await new Promise(setImmediate);
        const fault = await this.#faultOf(`commit ${shortOid(oid)}`, signedCommit(content));
        if (fault !== undefined) return fault;
      }
    }
    return undefined;
  }

  /** A tag, and the tags that it leads to. */
  async #tagFault(
    place: ObjectPlace,
    tag: string,
    present: ReadonlySet<string>,
  ): Promise<string | undefined> {
    let next = tag;
    for (let depth = 0; depth < deepestTag; depth++) {
      if (present.has(next)) return undefined;
      const [read] = await readObjects(this.#parts.git, place, [next]);
      const content = read?.content ?? Buffer.alloc(0);
      const fault = await this.#faultOf(`tag ${shortOid(next)}`, signedTag(content));
      if (fault !== undefined) return fault;
      const tagged = taggedObject(content);
      if (tagged?.type === 'commit') return undefined;
      if (tagged?.type !== 'tag') return `tag ${shortOid(tag)} leads to no commit`;
      next = tagged.oid;
    }
    return `tag ${shortOid(tag)} leads through too many tags`;
  }

  async #faultOf(what: string, signed: SignedPart | undefined): Promise<string | undefined> {
    const blob = signed && signerOf(signed.signature);
    if (signed === undefined || blob === undefined) return `${what} carries no SSH signature`;
    const print = fingerprint(blob);
    if (!this.#faults.has(print)) this.#faults.set(print, await this.#keyFault(print, blob));
    const fault = this.#faults.get(print);
    if (fault !== undefined) return `${what} is signed by ${print}, ${fault}`;
    const { message, signature } = signed;
    if (verifySshSignature(signature, { blob, namespace, message })) return undefined;
    return `${what}: its signature does not fit`;
  }

  async #keyFault(print: string, blob: Buffer): Promise<string | undefined> {
    const { store, access } = this.#parts;
    const key = await store.keys.inForce(print, blob);
    const user = key?.userId === undefined ? undefined : await store.users.byId(key.userId);
    if (user === undefined) return 'which is no key in force of a user here';
    const { right } = await access.rightOf(user, this.#repo);
    return reaches(right, 'write') ? undefined : `a key of ${user.name}, who may not write here`;
  }
}
