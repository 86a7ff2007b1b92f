import { randomBytes } from 'node:crypto';
import { UserError } from '../../model/errors.ts';
import {
  isSignedQuestion,
  message,
  nonceBytes,
  protocol,
  readKey,
  readMessage,
  readNonce,
  signedAnswer,
} from '../../model/hello.ts';
import { cpmVersion } from '../../model/version.ts';
import type { Core } from '../core.ts';
import { PairingAnswerer } from './pairing.ts';
import { ownName } from './self.ts';

/** How long a count of public repositories is told without looking again. */
const countedMs = 5000;
/** So many names fit one packet. */
const mostNames = 500;

/** What a server says of itself that is the same for every caller. */
export interface Reception {
  desk(address: string): HelloDesk;
}

/** Answers other servers, whoever they are. */
export function openReception(core: Core): Reception {
  let counted: { readonly count: Promise<number>; readonly atMs: number } | undefined;
  const publicCount = () => {
    if (counted === undefined || Date.now() - counted.atMs > countedMs) {
      counted = { count: core.store.neighbors.publicCount(), atMs: Date.now() };
    }
    return counted.count;
  };
  return { desk: (address) => new HelloDesk(core, address, publicCount) };
}

/** The questions of one caller, in their order. @see hello.ts for the protocol */
export class HelloDesk {
  readonly #core: Core;
  readonly #address: string;
  readonly #publicCount: () => Promise<number>;
  readonly #nonce = randomBytes(nonceBytes).toString('hex');
  /** The caller's; undefined before it said hello. */
  #theirs: string | undefined;
  #pairing: PairingAnswerer | undefined;

  constructor(core: Core, address: string, publicCount: () => Promise<number>) {
    this.#core = core;
    this.#address = address;
    this.#publicCount = publicCount;
  }

  /** @returns the packets of the answer; one that refuses, where the question is none of this version. Never rejects */
  async answer(payload: Buffer): Promise<readonly Buffer[]> {
    try {
      const asked = readMessage(payload);
      if (asked === undefined) throw unknown('the question can not be read');
      if (asked.word === 'cpm-hello') return await this.#hello(asked.fields);
      if (this.#theirs === undefined) throw unknown('say hello first');
      if (asked.word === 'cpm-names') return await this.#names(asked.fields, this.#theirs);
      if (asked.word !== 'cpm-pair') throw unknown(`${asked.word} is not in this version`);
      this.#pairing ??= new PairingAnswerer(this.#core, this.#address);
      return [message('cpm-pair', { ...(await this.#pairing.answer(asked.fields)) })];
    } catch (error) {
      if (!(error instanceof UserError)) {
        this.#core.log.error({ err: error }, "a neighbor's question failed");
      }
      const { code, message: text } =
        error instanceof UserError ? error : new UserError('internal', 'a fault of this server');
      return [message('cpm-error', { code, message: text, protocols: [protocol] })];
    }
  }

  async #hello(fields: Readonly<Record<string, unknown>>): Promise<readonly Buffer[]> {
    const { protocol: newest, oldest = newest } = fields;
    if (!Number.isInteger(newest) || Number(newest) < protocol || Number(oldest) > protocol) {
      throw unknown(`protocol ${protocol} is spoken here`);
    }
    const nonce = readNonce(fields['nonce']);
    if (nonce === undefined) throw unknown(`a hello has a nonce of ${nonceBytes} bytes`);
    this.#theirs = nonce;
    const signer = await this.#core.chain.signer();
    const answer = message('cpm-hello', {
      protocol,
      name: ownName(this.#core),
      version: cpmVersion,
      ssh_port: this.#core.sshPort(),
      status: 'serving',
      public_repositories: await this.#publicCount(),
      key: signer.publicKey.blob.toString('base64'),
      nonce: this.#nonce,
    });
    return signedAnswer(signer, 'hello', nonce, answer);
  }

  /** For confirmed neighbors alone, who prove that they are one. */
  async #names(
    { key: told, signature }: Readonly<Record<string, unknown>>,
    nonce: string,
  ): Promise<readonly Buffer[]> {
    const signer = await this.#core.chain.signer();
    const key = readKey(told);
    const about = { nonce: this.#nonce, server: signer.publicKey.blob };
    const proven =
      key !== undefined &&
      typeof signature === 'string' &&
      isSignedQuestion(signature, { key, ...about });
    const caller = proven ? await this.#core.store.neighbors.byKey(key) : undefined;
    if (caller?.serverId === undefined) {
      throw new UserError('denied', 'the names of repositories are for confirmed neighbors');
    }
    const names = await this.#core.store.neighbors.publicNames(mostNames + 1);
    const shown = { names: names.slice(0, mostNames), more: names.length > mostNames };
    return signedAnswer(signer, 'names', nonce, message('cpm-names', shown));
  }
}

function unknown(why: string): UserError {
  return new UserError('usage', why);
}
