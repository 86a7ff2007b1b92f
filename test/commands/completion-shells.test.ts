import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type IPty, spawn } from 'node-pty';
import t, { type Test } from 'tap';
import { House } from '../support/house.ts';
import { quoteWords } from '../support/person.ts';
import { cleanEnv } from '../support/process.ts';
import { findProgram } from '../support/program.ts';

const house = await House.open(t, { config: 'log_level: info\n' });
const config = join(house.folder, 'config.yaml');
writeFileSync(config, `public_url: ssh://cpm@127.0.0.1:${house.port}\n`);
await house.restart();
for (const words of ['init ada/app', 'init ada/banana', 'org create anvil'])
  await house.operator(words);

/** A folder of programs for a shell's PATH. */
function programs(t: Test, scripts: Readonly<Record<string, string>>): string {
  const folder = t.testdir({});
  for (const [name, line] of Object.entries(scripts)) {
    writeFileSync(join(folder, name), `#!/bin/sh\nexec ${line} "$@"\n`);
    chmodSync(join(folder, name), 0o755);
  }
  return folder;
}

// Terminals are told colours, positions and modes between the letters.
const controls =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  /\x1b(\[[0-9;?<>=]*[A-Za-z]|[()][A-Z0-9]|\][^\x07]*\x07|[=>78])|\x08/g;

/** A shell on a terminal, and a person at it who waits for what they see. */
class Typist {
  readonly #shell: IPty;
  #seen = '';

  constructor(
    t: Test,
    [program, ...args]: readonly [string, ...string[]],
    env: Record<string, string>,
  ) {
    const cwd = house.folder;
    this.#shell = spawn(program, args, { cols: 200, rows: 50, cwd, env: cleanEnv(env) });
    const gone = new Promise<void>((resolve) => this.#shell.onExit(() => resolve()));
    t.teardown(async () => {
      this.#shell.kill('SIGKILL');
      await gone;
    });
    this.#shell.onData((text) => {
      this.#seen += text;
    });
  }

  /** Types, and waits until the screen shows something new. */
  async types(keys: string, awaited: RegExp): Promise<void> {
    const from = this.#seen.length;
    this.#shell.write(keys);
    await this.#shows(awaited, from);
  }

  async #shows(awaited: RegExp, from: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const look = () => {
        const plain = this.#seen.slice(from).replace(controls, '');
        if (!awaited.test(plain)) return;
        clearTimeout(timer);
        watching.dispose();
        resolve();
      };
      const timer = setTimeout(() => {
        watching.dispose();
        reject(
          new Error(`${awaited} is not to be seen in ${JSON.stringify(this.#seen.slice(from))}`),
        );
      }, 20_000);
      const watching = this.#shell.onData(look);
      look();
    });
  }
}

const shells = {
  bash: {
    words: ['bash', '--norc', '--noprofile', '-i'],
    source: 'source <(WHERE completion bash)',
  },
  zsh: { words: ['zsh', '-f', '-i'], source: 'source <(WHERE completion zsh)' },
  fish: { words: ['fish', '--no-config', '-i'], source: 'WHERE completion fish | source' },
} as const;

const places = {
  'on the machine': {
    where: 'cpm',
    scripts: { cpm: quoteWords(findProgram().command) },
  },
  'as a function that asks a server': {
    where: `ssh -p ${house.port} cpm@127.0.0.1`,
    scripts: { ssh: quoteWords(['/usr/bin/ssh', ...house.admin.sshOptions()]) },
  },
};

for (const [shell, { words, source }] of Object.entries(shells)) {
  for (const [place, { where, scripts }] of Object.entries(places)) {
    t.test(`${shell} completes cpm ${place}, key by key`, async (t) => {
      await house.operator('repo set ada/banana --visibility private');
      const bin = programs(t, scripts);
      const home = join(house.folder, 'home');
      const typist = new Typist(t, words, {
        HOME: home,
        PATH: `${bin}:/usr/bin:/bin`,
        CPM_DATA_DIR: house.dataDir,
        CPM_CONFIG: config,
        TERM: 'xterm',
        PS1: '> ',
      });
      await typist.types('echo rea""dy\r', /ready/);
      await typist.types(`${source.replace('WHERE', where)}; echo load""ed\r`, /loaded/);

      await typist.types('cpm rep\t', /repo/);
      await typist.types('se\t', /set/);
      await typist.types('ada/b\t', /ada\/banana|anana/);
      await typist.types('--vis\t', /--visibility|ibility/);
      await typist.types('int\t', /internal|ernal/);
      await typist.types('\r', /Changed/);
      const { stdout } = await house.operator('show ada/banana --json');
      t.match(JSON.parse(stdout), { visibility: 'internal' }, 'the line was run as completed');

      await typist.types('cpm repo access grant ada/banana org:anv\t', /anvil/);
      await typist.types('re\t', /read/);
      await typist.types('\r', /Granted/);
      const { stdout: grants } = await house.operator('repo access list ada/banana --json');
      t.match(JSON.parse(grants), [{ who: 'org:anvil', right: 'read' }]);
      await house.operator('repo access revoke ada/banana org:anvil');
    });
  }
}
