import { mkdir, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { generateEd25519 } from '../model/ed25519.ts';
import { UserError } from '../model/errors.ts';
import { parseRepoPath } from '../model/repo.ts';
import { fingerprint, parsePublicKey } from '../model/sshkey.ts';
import { verifySshSignature } from '../model/sshsig.ts';
import { readMoment } from '../model/units.ts';
import { boolean, maybe, object, present, string } from './answers.ts';
import { command } from './command.ts';
import { bindingsOf, checkDeployFlags } from './deploy-keys.ts';
import { endKeyAt, needsNoProof, replaced } from './key-ends.ts';
import { sshkeyEndCommands } from './sshkey-end.ts';
import { sshkeyListCommands } from './sshkey-list.ts';

/** The namespace of the signature that shows possession: a key's other signatures can't stand for it. */
const namespace = 'cpm-key';

/** Names of repositories that the record keeps of one request, in characters. */
const longestTarget = 500;

const user = { type: 'string', format: 'name', description: 'whose, instead of your own' } as const;

const add = command({
  words: 'sshkey add',
  summary: 'Add a public key, of a person or a deploy key; pending until its other half is proven',
  examples: [
    'sshkey add - --title laptop < laptop.pub',
    'sshkey add - --user ana --expires 90d < ana.pub',
    'sshkey add - --repo acme/app --repo acme/lib --right write --refs "ci/**" < ci.pub',
    'sshkey add - --org acme --right read < mirror.pub',
  ],
  args: {
    file: {
      type: 'string',
      format: 'file',
      description: 'the public key: a file, or - for standard input',
    },
    user,
    title: { type: 'string', format: 'text', description: "the key's comment unless told" },
    expires: { type: 'string', format: 'moment', description: 'when it ends: 90d, or a time' },
    repo: {
      type: 'array',
      items: { type: 'string', format: 'repo' },
      description: 'a deploy key of this repository; may be given several times',
    },
    org: { type: 'string', format: 'name', description: "a deploy key of all this org's" },
    right: { type: 'string', enum: ['read', 'write'], description: 'what a deploy key may do' },
    refs: {
      type: 'string',
      format: 'refs',
      description: 'what it may write: a branch or full ref; * crosses no slash, ** does',
    },
  },
  positions: ['file'],
  required: ['file'],
  answer: object({ changed: boolean, id: string, fingerprint: string, state: string }),
  changes: true,
  needs: (args) => {
    checkDeployFlags(args);
    if (args.org !== undefined) return { need: 'org', org: args.org, role: 'admin' };
    if (args.repo === undefined) return { need: 'self', user: args.user };
    return { need: 'repos', paths: args.repo.map(parseRepoPath), right: 'admin' };
  },
  target: (args) => args.user ?? args.org ?? args.repo?.join(' ').slice(0, longestTarget),
  run: async (context, args) => {
    const { core, by, granted, principal } = context;
    const key = parsePublicKey(String(await context.readFile(args.file)));
    const expiresAt = args.expires && readMoment(args.expires, new Date(), 'ahead');
    const verified = needsNoProof(context, key);
    const fresh = { key, verified, title: args.title, expiresAt };
    if (granted.user === undefined) {
      const bind = { need: 'bind', fingerprint: fingerprint(key.blob) } as const;
      await core.access.authorize(principal, bind);
    }
    const added =
      granted.user === undefined
        ? await core.store.deployKeys.add(fresh, bindingsOf(context, args), by)
        : await core.store.keys.add({ ...fresh, userId: granted.user.id }, by);
    const stored = await core.store.keys.byId(added.id);
    const state = stored?.state ?? (verified ? 'active' : 'pending');
    return { ...added, fingerprint: fingerprint(key.blob), state };
  },
  text: (answer) =>
    answer.state === 'pending'
      ? `${answer.fingerprint} is pending.\nProve that you have its private half with: sshkey verify ${answer.fingerprint}`
      : `${answer.fingerprint} is ${answer.state}${answer.changed ? '' : ', as before'}.`,
});

const verify = command({
  words: 'sshkey verify',
  summary: 'Put a pending key in force by a signature; without one on stdin, print what to sign',
  examples: ['sshkey verify SHA256:…', 'sshkey verify SHA256:… < signature'],
  args: {
    fingerprint: { type: 'string', format: 'fingerprint', description: 'of the pending key' },
  },
  positions: ['fingerprint'],
  required: ['fingerprint'],
  answer: object({ changed: boolean, fingerprint: string, state: string, challenge: maybe }),
  changes: true,
  needs: ({ fingerprint }) => ({ need: 'key', fingerprint, act: 'verify' }),
  target: (args) => args.fingerprint,
  run: async (context) => {
    const { core, by, granted } = context;
    const key = present(granted.key);
    const asIs = { changed: false, fingerprint: key.fingerprint, state: key.state };
    if (key.state !== 'pending') return { ...asIs, challenge: null };
    const challenge = present(await core.store.keys.challenge(key.id));
    const signature = String(await context.readFile('-'));
    if (signature.trim() === '') return { ...asIs, challenge };
    if (!verifySshSignature(signature, { blob: key.blob, namespace, message: challenge })) {
      throw new UserError(
        'denied',
        `this is no signature by ${key.fingerprint} over the text that was asked for`,
        {
          hint: `see what to sign with: sshkey verify ${key.fingerprint} < /dev/null`,
        },
      );
    }
    const { ends } = await core.store.keys.verify(key, by);
    if (ends !== undefined) endKeyAt(context, ends, replaced);
    return { ...asIs, changed: true, state: 'active', challenge: null };
  },
  text: ({ fingerprint: told, state, challenge }) =>
    challenge === null
      ? `The key is ${state}.`
      : [
          'On the machine that has the private key, sign this text, and send the signature here:',
          `  printf %s ${challenge} | ssh-keygen -Y sign -n ${namespace} -f PRIVATE-KEY > signature`,
          `  ssh cpm@server sshkey verify ${told} < signature`,
        ].join('\n'),
});

const generate = command({
  words: 'sshkey generate',
  summary: 'Make an ed25519 key pair',
  examples: ['sshkey generate --name deploy --out ./deploy_ed25519'],
  args: {
    name: { type: 'string', format: 'name', description: 'of the key; id unless told' },
    out: {
      type: 'string',
      format: 'path',
      description: 'the private key; keys/NAME_ed25519 in the data directory unless told',
    },
    comment: { type: 'string', format: 'text', description: 'the name unless told' },
  },
  answer: object({
    changed: boolean,
    fingerprint: string,
    private_key: string,
    public_key: string,
  }),
  changes: true,
  needs: () => ({ need: 'operator' }),
  run: async ({ core, by, resolvePath }, args) => {
    const name = args.name ?? 'id';
    const path =
      args.out === undefined
        ? join(core.config.dataDir, 'keys', `${name}_ed25519`)
        : resolvePath(args.out);
    const pair = generateEd25519(args.comment ?? name);
    if (!by.dryRun) {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await writeNew(path, pair.privateKey, 0o600);
      await writeNew(`${path}.pub`, `${pair.publicLine}\n`, 0o644);
    }
    const { blob } = parsePublicKey(pair.publicLine);
    return {
      changed: true,
      fingerprint: fingerprint(blob),
      private_key: path,
      public_key: `${path}.pub`,
    };
  },
  text: (answer) =>
    `${answer.fingerprint}\nprivate: ${answer.private_key}\npublic:  ${answer.public_key}`,
});

async function writeNew(path: string, text: string, mode: number): Promise<void> {
  const file = await open(path, 'wx', mode).catch((cause: NodeJS.ErrnoException) => {
    const taken = cause.code === 'EEXIST';
    throw new UserError(
      taken ? 'conflict' : 'usage',
      `${path}: ${taken ? 'there is a file already' : cause.code}`,
      { cause },
    );
  });
  try {
    await file.writeFile(text);
    await file.chmod(mode);
    await file.sync();
  } finally {
    await file.close();
  }
}

export const sshkeyCommands = [add, verify, ...sshkeyListCommands, ...sshkeyEndCommands, generate];
