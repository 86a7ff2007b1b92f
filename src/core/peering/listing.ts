import { reaches } from '../../model/right.ts';
import type { After, Repository } from '../../store/repositories.ts';
import type { Server } from '../../store/servers.ts';
import type { Core } from '../core.ts';
import { rightsOn } from '../rights-on.ts';
import type { Asked } from './asked.ts';
import type { Answers, ListedRepo } from './protocol.ts';
import { Remote } from './remote.ts';
import type { RunOptions } from './run.ts';

const pageRows = 500;

/** Answers what the asker may read here, page by page in the order of names. */
export async function answerList(
  { core, principal }: Asked,
  question: Readonly<Record<string, unknown>>,
): Promise<Answers['list']> {
  const after = { namespace: String(question['namespace']), name: String(question['name']) };
  const page = await core.store.repositories.page({ kind: 'all' }, { after, limit: pageRows });
  const standing = await core.access.standing(principal);
  const decisions = await rightsOn(core, { principal, standing }, page);
  const rows = page.flatMap((repo, at) => {
    const right = decisions[at]?.right ?? 'none';
    return reaches(right, 'read') ? [listed(repo, right)] : [];
  });
  const last = page.at(-1);
  const isMore = last !== undefined && page.length === pageRows;
  return { rows, next: isMore ? { namespace: last.namespace, name: last.name } : null };
}

function listed(repo: Repository, right: string): ListedRepo {
  return {
    name: repo.fullName,
    id: repo.id,
    description: repo.description,
    visibility: repo.visibility,
    default_branch: repo.defaultBranch,
    right,
    archived: repo.archived,
    size_bytes: repo.sizeBytes,
    refs: repo.refs,
    updated_at: repo.updatedAt,
  };
}

/** What another server has for us. @throws UserError when it can't be reached */
export async function* listOf(
  core: Core,
  server: Server,
  caller: Pick<RunOptions, 'by' | 'signal'>,
): AsyncGenerator<ListedRepo> {
  let after: After | null = { namespace: '', name: '' };
  while (after !== null) {
    const question: After = after;
    const page: Answers['list'] = await Remote.use(core, server, {
      caller,
      work: (remote) => remote.ask('list', question),
    });
    for (const row of page.rows) yield sound(row);
    after = page.next;
  }
}

/** It may say anything: what is shown has the types that are shown. */
function sound(row: ListedRepo): ListedRepo {
  return {
    name: String(row.name),
    id: String(row.id),
    description: String(row.description),
    visibility: String(row.visibility),
    default_branch: String(row.default_branch),
    right: String(row.right),
    archived: row.archived === true,
    size_bytes: Math.trunc(Number(row.size_bytes)) || 0,
    refs: Math.trunc(Number(row.refs)) || 0,
    updated_at: String(row.updated_at),
  };
}
