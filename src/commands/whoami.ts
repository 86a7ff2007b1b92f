import { principalText } from '../model/principal.ts';
import { boolean, maybe, maybeTime, object, string } from './answers.ts';
import { type Context, command } from './command.ts';

/** Who asks, with which key, on which server. */
export async function identity({ core, principal, granted }: Context) {
  const key = 'keyId' in principal ? await core.store.keys.byId(principal.keyId) : undefined;
  return {
    user: principal.kind === 'user' ? principal.name : principalText(principal),
    admin: granted.standing.siteAdmin || principal.kind === 'operator',
    key: key?.fingerprint ?? null,
    key_title: key?.title ?? null,
    key_expires_at: key?.expiresAt ?? null,
    server: core.cloneUrl('').replace(/\/\.git$/, ''),
  };
}

export const whoami = command({
  words: 'whoami',
  summary: 'Who you are here, and with which key',
  examples: ['whoami', 'whoami --json'],
  args: {},
  answer: object({
    user: string,
    admin: boolean,
    key: maybe,
    key_title: maybe,
    key_expires_at: maybeTime,
    server: string,
  }),
  needs: () => ({ need: 'signed-in' }),
  run: identity,
  text: ({ user, admin, key, key_title, key_expires_at }) => {
    const who = admin ? `${user}, site admin` : user;
    if (key === null) return who;
    const end = key_expires_at === null ? 'without an end' : `until ${key_expires_at}`;
    return `${who}\nkey: ${key} (${key_title}), ${end}`;
  },
});
