import { keyTypes, signatureAlgorithms } from '../../model/sshkey.ts';
import { type WireField, wire } from '../../model/sshwire.ts';

/** Why a connection ends. @see RFC 4253, 11.1 */
const disconnectReasons = {
  protocolError: 2,
  serviceNotAvailable: 7,
  byApplication: 11,
  tooManyConnections: 12,
  noMoreAuthMethods: 14,
} as const;
/** A name of RFC 4253's reasons that this server gives. */
export type DisconnectReason = keyof typeof disconnectReasons;

/** Why a channel isn't opened. @see RFC 4254, 5.1 */
const openFailures = { prohibited: 1, unknownType: 3, shortage: 4 } as const;
/** A name of RFC 4254's reasons that this server gives. */
export type OpenFailure = keyof typeof openFailures;

function message(type: number, ...fields: readonly WireField[]): Buffer {
  return Buffer.concat([Buffer.of(type), wire(...fields)]);
}

function extInfo(): Buffer {
  const list = keyTypes.flatMap(signatureAlgorithms).join(',');
  return message(7, 1, 'server-sig-algs', list);
}

/** Numbers of the messages that are read, and the messages that are written. @see RFC 4250, 4.1.2 */
export const messages = {
  serviceRequest: 5,
  keyExchangeInit: 20,
  newKeys: 21,
  userauthRequest: 50,
  globalRequest: 80,
  channelOpen: 90,
  channelWindowAdjust: 93,
  channelData: 94,
  channelExtendedData: 95,
  channelEof: 96,
  channelClose: 97,
  channelRequest: 98,

  extInfo,
  disconnect: (reason: DisconnectReason, text: string): Buffer =>
    message(1, disconnectReasons[reason], text, 'en'),
  ignore: (): Buffer => message(2, ''),
  unimplemented: (sequence: number): Buffer => message(3, sequence),
  serviceAccept: (name: string): Buffer => message(6, name),
  authFailure: (): Buffer => message(51, 'publickey', false),
  authSuccess: (): Buffer => message(52),
  authBanner: (text: string): Buffer => message(53, text, 'en'),
  /** Echoes the very algorithm that was asked: Go's client compares it. */
  authKeyOk: (algorithm: string, blob: Buffer): Buffer => message(60, algorithm, blob),
  keepalive: (): Buffer => message(80, 'keepalive@openssh.com', true),
  requestFailure: (): Buffer => message(82),
  requestSuccess: (): Buffer => message(81),
  openConfirmation: (remote: number, local: number, window: number, packet: number): Buffer =>
    message(91, remote, local, window, packet),
  openFailure: (remote: number, reason: OpenFailure, text: string): Buffer =>
    message(92, remote, openFailures[reason], text, 'en'),
  windowAdjust: (remote: number, bytes: number): Buffer => message(93, remote, bytes),
  eof: (remote: number): Buffer => message(96, remote),
  close: (remote: number): Buffer => message(97, remote),
  exitStatus: (remote: number, status: number): Buffer =>
    message(98, remote, 'exit-status', false, status),
  channelSuccess: (remote: number): Buffer => message(99, remote),
  channelFailure: (remote: number): Buffer => message(100, remote),
};
