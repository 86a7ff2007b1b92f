import { UserError } from './errors.ts';
import { quoted } from './repo.ts';

/** An IPv4 network. */
export interface Network {
  /** Its first address, as a number. */
  readonly base: number;
  readonly prefix: number;
}

/** Networks with more hosts are only looked at when they are named. */
export const mostHosts = 65_536;

/** @returns undefined for what is no IPv4 address */
export function readIpv4(text: string): number | undefined {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1).map(Number);
  if (parts === undefined || parts.some((part) => part > 255)) return undefined;
  return parts.reduce((sum, part) => sum * 256 + part, 0);
}

export function ipv4Text(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.');
}

/** Reads `10.0.0.0/24`; bits behind the prefix are dropped. @throws UserError `usage` */
export function parseNetwork(text: string): Network {
  const [, address = '', bits = ''] = /^([\d.]+)\/(\d{1,2})$/.exec(text) ?? [];
  const read = readIpv4(address);
  const prefix = Number(bits);
  if (read === undefined || bits === '' || prefix < 8 || prefix > 32) {
    throw new UserError('usage', `${quoted(text)} is not an IPv4 network`, {
      hint: 'write it as 192.0.2.0/24; /8 is the largest',
    });
  }
  return { base: read - (read % 2 ** (32 - prefix)), prefix };
}

export function networkText({ base, prefix }: Network): string {
  return `${ipv4Text(base)}/${prefix}`;
}

/** How many hosts it can have: all but its own and its broadcast address, where it has these. */
export function hostCount({ prefix }: Network): number {
  const all = 2 ** (32 - prefix);
  return prefix >= 31 ? all : all - 2;
}

/** The hosts of networks, one after the other; those of two that overlap once. */
export function* hostsOf(networks: readonly Network[]): Generator<string> {
  for (const [nth, network] of networks.entries()) {
    const earlier = networks.slice(0, nth);
    const start = network.base + (network.prefix >= 31 ? 0 : 1);
    for (let at = start; at < start + hostCount(network); at += 1) {
      if (!earlier.some((each) => covers(each, at))) yield ipv4Text(at);
    }
  }
}

function covers({ base, prefix }: Network, address: number): boolean {
  return address >= base && address < base + 2 ** (32 - prefix);
}
