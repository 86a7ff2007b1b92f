import type { Principal } from '../model/principal.ts';
import { nullOid, type RefCommand } from '../model/ref.ts';
import type { Repository } from '../store/repositories.ts';

/** What refs are to be changed, by whom, where. */
export interface Wanted {
  /** undefined where it is yet to be created. */
  readonly repo: Repository | undefined;
  readonly principal: Principal;
  readonly commands: readonly RefCommand[];
}

/** Which rule refuses which ref, whoever changes it by whatever way (S13). */
export class Rules {
  /**
   * What can be said from the commands alone, without a look at objects.
   *
   * @returns per command, why not; undefined where allowed
   */
  async refusals({ repo, commands }: Wanted): Promise<readonly (string | undefined)[]> {
    const main = `refs/heads/${repo?.defaultBranch}`;
    return commands.map(({ ref, new: next }) =>
      next === nullOid && ref === main ? 'the default branch can not be deleted' : undefined,
    );
  }
}
