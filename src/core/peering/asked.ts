import type { ServerPrincipal } from '../../model/principal.ts';
import type { Actor } from '../../store/changes.ts';
import type { Server } from '../../store/servers.ts';
import type { Core } from '../core.ts';

/** Who asks, and what an answer is made with. */
export interface Asked {
  readonly core: Core;
  readonly principal: ServerPrincipal;
  /** The asker, as it is known now. */
  readonly server: Server;
  readonly by: Actor;
  readonly signal: AbortSignal;
}

/** Answers one question, which may be anything. @throws UserError that the other server is told */
export type Answerer = (
  asked: Asked,
  question: Readonly<Record<string, unknown>>,
) => Promise<unknown>;
