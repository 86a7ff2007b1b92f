import { UserError } from '../model/errors.ts';
import { object } from './answers.ts';
import { type Command, command } from './command.ts';

const refuse = async (): Promise<object> => {
  throw new UserError(
    'usage',
    'sshd starts this, on the machine itself and with these flags alone',
    {
      hint: 'README.md has the lines for its configuration',
    },
  );
};

const operator = () => ({ need: 'operator' }) as const;

/** Carried out by the program itself, before anything else is loaded; here stands how they are called, and who may. */
export const forcedCommands: readonly Command[] = [
  command({
    words: 'authorized-keys',
    summary: "Answer sshd's AuthorizedKeysCommand: the line for a key that may sign in, or nothing",
    examples: ['authorized-keys --user %u --type %t --key %k'],
    args: {
      user: { type: 'string', format: 'text', description: 'the account: %u' },
      type: { type: 'string', format: 'text', description: "the key's type: %t" },
      key: { type: 'string', format: 'text', description: 'the key in base64: %k' },
    },
    required: ['user', 'type', 'key'],
    answer: object({}),
    needs: operator,
    run: refuse,
    text: () => '',
  }),
  command({
    words: 'shell',
    summary: 'Carry out what somebody sent to sshd, as the forced command of their key',
    examples: ['shell --key-id 01890a5d-ac96-774b-bcce-b302099a8057'],
    args: { 'key-id': { type: 'string', format: 'uuid', description: "the key's id" } },
    required: ['key-id'],
    answer: object({}),
    needs: operator,
    run: refuse,
    text: () => '',
  }),
  command({
    words: 'stand-in',
    summary: 'Serve those whom sshd sends in, until nobody comes any more or a server starts',
    examples: ['stand-in'],
    args: {},
    answer: object({}),
    unlisted: true,
    needs: operator,
    run: refuse,
    text: () => '',
  }),
];
