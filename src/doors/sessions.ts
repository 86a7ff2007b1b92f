import type { OpenDoor } from '../core/sessions.ts';
import { principalText } from '../model/principal.ts';
import type { ListenAddress } from '../settings.ts';
import { addressText } from './local/announce.ts';
import type { LocalDoor } from './local/server.ts';
import type { SshDoor } from './ssh/door.ts';

/** The SSH door, as the core sees it. */
export function sshSessions(ssh: SshDoor, addresses: readonly ListenAddress[]): OpenDoor {
  return {
    listeners: addresses.map(addressText),
    connections: () =>
      ssh.connections().map(({ id, address, startedAt, owner }) => ({
        ...connection,
        id,
        principal: principalText(owner?.principal ?? { kind: 'anonymous' }),
        address,
        door: 'ssh',
        startedAt,
      })),
    endWhere: (matches, why) => ssh.endWhere((owner) => matches(owner.principal), why),
    end: (id, why) => ssh.end(id, why),
    showHostKeys: (texts) => ssh.showHostKeys(texts),
  };
}

/** The local door likewise: the operator, and those whom sshd sends in. */
export function localSessions(local: LocalDoor): OpenDoor {
  return {
    listeners: [],
    connections: () =>
      local.connections().map(({ id, startedAt, principal, address, door }) => ({
        ...connection,
        id,
        principal: principalText(principal),
        address,
        door,
        startedAt,
      })),
    endWhere: (matches, why) => local.endWhere(matches, why),
    end: (id, why) => local.end(id, why),
  };
}

const connection = {
  kind: 'connection',
  connection: undefined,
  action: undefined,
  target: undefined,
} as const;
