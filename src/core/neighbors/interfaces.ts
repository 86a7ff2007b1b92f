import type { NetworkInterfaceInfo } from 'node:os';
import { hostCount, mostHosts, type Network, networkText, parseNetwork } from '../../model/ipv4.ts';

/** What there is to look at, and what was left out, in words. */
export interface LocalNetworks {
  readonly networks: readonly Network[];
  readonly left: readonly string[];
}

/** Bridges and cables of containers and virtual machines: nobody else is there. */
const virtual =
  /^(docker|br-[0-9a-f]{12}|veth|virbr|vnet|cni|flannel|cali|lxcbr|lxdbr|incusbr|podman|kube|cbr|vmnet|vboxnet)/;
/** Tunnels, where no network lies behind. */
const tunnel = /^(tun|tap|wg|ppp|utun|tailscale|zt|ipsec|gre|sit)/;
const noMac = '00:00:00:00:00:00';

/** The IPv4 networks of a machine's interfaces; point-to-point ones and container bridges are left out unless named. */
export function localNetworks(
  interfaces: Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>,
): LocalNetworks {
  const networks: Network[] = [];
  const left: string[] = [];
  for (const [name, addresses = []] of Object.entries(interfaces)) {
    for (const { family, internal, mac, cidr } of addresses) {
      if (family !== 'IPv4' || internal || cidr === null) continue;
      const network = parseNetwork(cidr.replace(/\/[0-7]$/, '/8'));
      const text = `${networkText(network)} (${name})`;
      if (virtual.test(name)) left.push(`${text}: of containers or virtual machines`);
      else if (tunnel.test(name) || mac === noMac || network.prefix >= 31) {
        left.push(`${text}: point-to-point`);
      } else if (hostCount(network) > mostHosts) left.push(`${text}: more than ${mostHosts} hosts`);
      else networks.push(network);
    }
  }
  return { networks, left };
}
