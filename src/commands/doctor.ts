import { examine } from '../core/doctor/doctor.ts';
import type { Finding } from '../core/doctor/finding.ts';
import { UserError } from '../model/errors.ts';
import { array, boolean, maybe, object, string } from './answers.ts';
import { command } from './command.ts';

/** Findings in these mean that something is lost or damaged. */
const grave = ['database', 'repositories'];

function faulty(checks: readonly Pick<Finding, 'check' | 'state'>[]) {
  return checks.filter(({ state }) => state === 'fail').map(({ check }) => check);
}

export const doctor = command({
  words: 'doctor',
  summary:
    'Look whether all is well with this server and its data, and say what to do where it is not',
  examples: ['doctor', 'doctor --fix'],
  args: {
    fix: { type: 'boolean', description: 'mend what is safe to mend: modes of files, leftovers' },
  },
  answer: object({
    healthy: boolean,
    changed: boolean,
    checks: array(
      object({
        check: string,
        state: { type: 'string', enum: ['ok', 'warn', 'fail'] },
        detail: string,
        hint: maybe,
        mended: boolean,
      }),
    ),
  }),
  changes: true,
  needs: () => ({ need: 'operator' }),
  run: async ({ core, by, staySilent }, { fix }) => {
    staySilent();
    const checks = [];
    for await (const finding of examine(core, fix === true && !by.dryRun)) {
      const { hint = null, mended = false } = finding;
      checks.push({ ...finding, hint, mended });
    }
    const changed = checks.some(({ mended }) => mended);
    return { healthy: faulty(checks).length === 0, changed, checks };
  },
  text: ({ checks }) =>
    checks
      .map(({ check, state, detail, hint, mended }) => {
        const mark = mended ? 'mended' : { ok: 'ok', warn: 'note', fail: 'FAIL' }[state];
        const line = `${mark.padEnd(6)}  ${check}: ${detail}`;
        return hint === null || state === 'ok' ? line : `${line}\n        hint: ${hint}`;
      })
      .join('\n'),
  refusal: ({ checks }) => {
    const found = faulty(checks);
    if (found.length === 0) return undefined;
    const code = found.some((check) => grave.includes(check)) ? 'corrupt' : 'unavailable';
    const what = `doctor: something is wrong with ${[...new Set(found)].join(', ')}`;
    return new UserError(code, what, { hint: 'what to do stands with each of them' });
  },
});
