// biome-ignore-all lint/style/noDefaultExport: CommonJS modules have nothing else
// What cpm uses of ssh2 1.17.0 that @types/ssh2 doesn't describe. Only ssh2-internals.ts imports these.

declare module 'ssh2/lib/protocol/Protocol.js' {
  import type { KexInit } from 'ssh2/lib/protocol/kex.js';

  interface Config {
    readonly server: boolean;
    readonly hostKeys?: Readonly<Record<string, unknown>>;
    readonly ident: string;
    readonly offer?: KexInit;
    onWrite(bytes: Buffer | string): void;
    onError(error: Error): void;
    onHeader(): void;
    onHandshakeComplete(): void;
    readonly messageHandlers: Readonly<Record<string, unknown>>;
  }

  interface Decipher {
    inSeqno: number;
    _onPayload(payload: Buffer): unknown;
  }

  interface Kex {
    readonly sessionID: Buffer;
    readonly _sentNEWKEYS: boolean;
    remoteExtInfoEnabled: boolean;
    finish(partial?: boolean): unknown;
  }

  interface Writer {
    readonly allocStart: number;
    readonly allocStartKEX: number;
    alloc(payloadLength: number, evenInKex?: boolean): Buffer;
    finalize(packet: Buffer, evenInKex?: boolean): Buffer;
  }

  export default class Protocol {
    constructor(config: Config);
    start(): void;
    parse(bytes: Buffer, start: number, end: number): void;
    rekey(): void;
    cleanup(): void;
    channelData(channel: number, bytes: Buffer): void;
    channelExtData(channel: number, bytes: Buffer, type: number): void;
    _onPayload(payload: Buffer): unknown;
    _decipher: Decipher | undefined;
    readonly _kex: Kex | undefined;
    readonly _kexinit: Buffer | undefined;
    readonly _queue: readonly unknown[] | undefined;
    readonly _strictMode: boolean | undefined;
    readonly _packetRW: { readonly write: Writer };
    readonly _destruct: unknown;
  }
}

declare module 'ssh2/lib/protocol/utils.js' {
  import type Protocol from 'ssh2/lib/protocol/Protocol.js';

  const utils: { sendPacket(protocol: Protocol, packet: Buffer, evenInKex?: boolean): boolean };
  export default utils;
}

declare module 'ssh2/lib/protocol/kex.js' {
  interface Direction {
    readonly cipher: readonly string[];
    readonly mac: readonly string[];
    readonly compress: readonly string[];
    readonly lang: readonly string[];
  }

  export class KexInit {
    constructor(lists: {
      readonly kex: readonly string[];
      readonly serverHostKey: readonly string[];
      readonly cs: Direction;
      readonly sc: Direction;
    });
  }

  const kex: { readonly KexInit: typeof KexInit };
  export default kex;
}

declare module 'ssh2/lib/protocol/crypto.js' {
  const crypto: { readonly init: Promise<void> };
  export default crypto;
}

declare module 'ssh2/lib/protocol/constants.js' {
  const constants: Readonly<
    Record<'SUPPORTED_KEX' | 'SUPPORTED_CIPHER' | 'SUPPORTED_MAC', readonly string[]>
  >;
  export default constants;
}
