/** The account that owns the data directory, working on the machine itself. */
export interface Operator {
  readonly kind: 'operator';
}

/** A person or robot, known by the key that signed. `keyId` is absent only for requests made without a key. */
export interface UserPrincipal {
  readonly kind: 'user';
  readonly id: string;
  readonly name: string;
  readonly keyId: string;
  readonly fingerprint: string;
}

/** A key bound to repositories, to no user. */
export interface DeployKeyPrincipal {
  readonly kind: 'deploy-key';
  readonly keyId: string;
  readonly fingerprint: string;
}

/** Another cpm server, known by the key it signs in with. */
export interface ServerPrincipal {
  readonly kind: 'server';
  readonly id: string;
  readonly name: string;
  readonly keyId: string;
  readonly fingerprint: string;
}

/** Who signed in with the code of an invitation: it may take the invitation, and nothing else. */
export interface Invitee {
  readonly kind: 'invitee';
  /** Of the invitation. */
  readonly id: string;
  /** What the invited server is to be called here. */
  readonly name: string;
  readonly keyId: string;
  readonly fingerprint: string;
}

export interface Anonymous {
  readonly kind: 'anonymous';
}

/** Who asks. Identity alone: rights are decided anew for every request from the store. */
export type Principal =
  | Operator
  | UserPrincipal
  | DeployKeyPrincipal
  | ServerPrincipal
  | Invitee
  | Anonymous;

/** The contract's text for a principal: `user:ana`, `key:SHA256:…`, `server:b`, `operator`, `anonymous`. */
export function principalText(principal: Principal): string {
  switch (principal.kind) {
    case 'user':
      return `user:${principal.name}`;
    case 'deploy-key':
      return `key:${principal.fingerprint}`;
    case 'server':
    case 'invitee':
      return `server:${principal.name}`;
    default:
      return principal.kind;
  }
}

/** How a refusal addresses the asker: `you are ana`. */
export function askerText(principal: Principal): string {
  switch (principal.kind) {
    case 'user':
      return `you are ${principal.name}`;
    case 'deploy-key':
      return `you are deploy key ${principal.fingerprint}`;
    case 'server':
      return `you are server ${principal.name}`;
    case 'invitee':
      return `you are invited as server ${principal.name}`;
    case 'operator':
      return 'you are the operator';
    default:
      return 'you are anonymous';
  }
}
