import { UserError } from '../model/errors.ts';
import { array, boolean, changed, maybe, object, string } from './answers.ts';
import { type Command, command } from './command.ts';

const operator = () => ({ need: 'operator' }) as const;

interface Installed {
  readonly changed: boolean;
  readonly account: string;
  readonly data_dir: string;
  readonly unit: string;
  readonly steps: readonly {
    readonly action: string;
    readonly target: string;
    readonly content: string | null;
  }[];
}

/** How a step reads, and below it what a file is to say. */
function stepText({ action, target, content }: Installed['steps'][number]): string {
  const lines = content === null ? [] : content.trimEnd().split('\n');
  return [`${action.padEnd(9)}  ${target}`, ...lines.map((line) => `  | ${line}`)].join('\n');
}

/** Installing is carried out by the program itself, which the running server could not; here stands how it is called. */
export const serviceCommands: readonly Command[] = [
  command({
    words: 'service install',
    summary: 'Make cpm a service of systemd, with an account of its own, and start it',
    examples: [
      'service install --admin ana --admin-key ./ana.pub --dry-run',
      'service install --user --dry-run',
    ],
    args: {
      user: { type: 'boolean', description: "a service of this account's own systemd" },
      admin: { type: 'string', format: 'name', description: 'who becomes the first site admin' },
      'admin-key': {
        type: 'string',
        format: 'file',
        description: "the first site admin's public key",
      },
    },
    answer: object({
      changed: boolean,
      account: string,
      data_dir: string,
      unit: string,
      steps: array(object({ action: string, target: string, content: maybe })),
    }),
    changes: true,
    needs: operator,
    run: async (): Promise<Installed> => {
      throw new UserError('usage', 'service install runs on the machine itself');
    },
    text: ({ unit, steps }) =>
      steps.length === 0 ? `${unit}: nothing to do` : steps.map(stepText).join('\n'),
  }),
  command({
    words: 'service installed',
    summary: 'Put on record that a service was installed',
    examples: ['service installed /etc/systemd/system/cpm.service'],
    args: { unit: { type: 'string', format: 'text', description: 'its unit' } },
    positions: ['unit'],
    required: ['unit'],
    answer: changed,
    changes: true,
    unlisted: true,
    needs: operator,
    target: ({ unit }) => unit,
    run: async () => ({ changed: true }),
    text: ({ changed: isNew }) => (isNew ? 'on record' : ''),
  }),
];
