import { UserError } from '../../model/errors.ts';
import { invitationKey, invitationLine, newInvitationCode } from '../../model/invitation.ts';
import { type PeerRole, parsePeerUrl, peerUrl } from '../../model/peer.ts';
import type { Invitee } from '../../model/principal.ts';
import { fingerprint, parsePublicKey } from '../../model/sshkey.ts';
import type { Actor } from '../../store/changes.ts';
import type { Core } from '../core.ts';
import { linkAll } from './link-all.ts';
import { ownAddress, ownHostKeys, ownSignInLine } from './own.ts';

/** The program that an invited server asks for: one question, one answer, as JSON. */
export const joinProgram = 'cpm-join';

/** What an invited server says of itself: on asking what it is invited to, and on taking the invitation. */
export interface JoinQuestion {
  readonly verb: 'ask' | 'take';
  readonly houseId: string;
  /** Where it is reached; null where nobody comes to it. */
  readonly url: string | null;
  /** Its host key, as `TYPE BASE64`. */
  readonly hostKey: string;
  /** The public half of what it signs in with, likewise. */
  readonly key: string;
}

/** What it is told. */
export interface JoinAnswer {
  readonly houseId: string;
  /** What the inviting server calls it, and takes it for. */
  readonly name: string;
  readonly role: PeerRole;
  /** The public half of what the inviting server signs in with. */
  readonly key: string;
}

const validMs = 3_600_000;

/**
 * Invites a server.
 *
 * @returns the line to give to its operator; the code in it is nowhere else
 * @throws UserError `conflict` when a server of that name is known
 */
export async function invite(
  core: Core,
  { name, role }: { name: string; role: PeerRole },
  by: Actor,
): Promise<{ id: string; line: string; expiresAt: string }> {
  const [hostKey] = await ownHostKeys(core);
  if (hostKey === undefined) {
    throw new UserError('unavailable', 'the public half of the host key is missing', {
      hint: 'make it with: ssh-keygen -y -f HOST_KEY > HOST_KEY.pub',
    });
  }
  const code = newInvitationCode();
  const { publicKey } = invitationKey(code);
  const expiresAt = new Date(Date.now() + validMs).toISOString();
  const id = await core.store.invitations.invite(
    { name, role, blob: publicKey.blob, expiresAt },
    by,
  );
  const address = ownAddress(core);
  return {
    id,
    line: invitationLine({ role, address, hostKey: hostKey.fingerprint, code }),
    expiresAt,
  };
}

/** Answers an invited server. @throws UserError that it is told */
export async function answerInvitee(
  core: Core,
  { principal, by }: { principal: Invitee; by: Actor },
  asked: JoinQuestion,
): Promise<JoinAnswer> {
  const invitation = await core.store.invitations.open(principal.id);
  if (invitation === undefined) throw new UserError('denied', 'this invitation was used');
  const { houseId } = core.store;
  if (asked.houseId === houseId) {
    throw new UserError('usage', 'this invitation is by the same server', {
      hint: 'it is for another one: run servers join there',
    });
  }
  const { name, role, invitedBy } = invitation;
  const answer = { houseId, name, role, key: await ownSignInLine(core.config.sshKeyPath) };
  if (asked.verb !== 'take') return answer;
  const hostKey = parsePublicKey(String(asked.hostKey));
  const url = asked.url === null ? undefined : peerUrl(parsePeerUrl(String(asked.url)));
  const actor = { ...by, principal: invitedBy };
  const id = await core.store.invitations.take(
    invitation,
    {
      name,
      role,
      url,
      hostKey: fingerprint(hostKey.blob),
      hostKeyLine: String(asked.hostKey),
      key: parsePublicKey(String(asked.key)),
      houseId: String(asked.houseId).slice(0, 64),
    },
    actor,
  );
  const server = await core.store.servers.byId(id);
  if (server?.role === 'backup') await linkAll(core, server, actor);
  return answer;
}
