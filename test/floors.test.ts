import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import t from 'tap';
import ts from 'typescript';

// The lowest floor first. A change to these two is a design decision.
const floors = [
  ['model', 'log.ts'],
  ['settings.ts'],
  ['config-file.ts'],
  ['store', 'programs', 'config.ts'],
  ['core'],
  ['commands', 'transfer'],
  ['shell'],
  ['doors'],
  ['main.ts', 'app.ts', 'house.ts', 'serve.ts', 'stand-in.ts', 'succession.ts'],
];
const homes: Record<string, string> = {
  ssh2: 'doors/ssh/',
  yargs: 'shell/flags.ts',
  'better-sqlite3': 'store/',
  kysely: 'store/',
  execa: 'programs/',
  'node-pty': 'programs/',
  'node:child_process': 'programs/',
  pino: 'log.ts',
  zod: 'config.ts',
  yaml: 'config-file.ts',
  'json-schema-to-ts': 'commands/command.ts',
};
const words: [RegExp, RegExp][] = [
  [/\bprocess\.env\b/, /^(config|main|app)\.ts$/],
  [/\bprocess\.exit\b/, /^main\.ts$/],
  [/\bconsole\.|(?<!\.)\bprocess\.stdout\b/, /^(doors\/|main\.ts$)/],
];

const src = join(import.meta.dirname, '../src');
const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((file) =>
  file.endsWith('.ts'),
);
const read = (file: string) => readFileSync(join(src, file), 'utf8');
const room = (file: string) => file.split('/')[0] ?? '';
const floor = (file: string) => floors.findIndex((rooms) => rooms.includes(room(file)));
const isRoof = (file: string) => floor(file) === floors.length - 1;
const imports = (file: string) =>
  ts.preProcessFile(read(file)).importedFiles.map(({ fileName }) => fileName);

const broken = (rule: (file: string) => string[]) =>
  files.flatMap((file) => rule(file).map((fault) => `${file} ${fault}`));

t.test('a file imports from its own folder and from lower floors only', async (t) => {
  const faults = broken((file) =>
    imports(file)
      .filter((path) => path.startsWith('.'))
      .map((path) => normalize(join(dirname(file), path)))
      .filter((path) => floor(path) >= floor(file) && room(path) !== room(file) && !isRoof(file))
      .map((path) => `imports ${path}`),
  );
  const homeless = files.filter((file) => floor(file) === -1);

  t.ok(files.length > 0, 'there are files to look at');
  t.strictSame([...faults, ...homeless], []);
});

t.test('a package is imported at its home only', async (t) => {
  const isAtHome = (file: string, path: string) => {
    const name = path.replace(/^([^@/]+|@[^/]+\/[^/]+)\/.*/, '$1');
    return name in homes ? file.startsWith(homes[name] ?? '') : name.startsWith('node:');
  };
  const faults = broken((file) =>
    imports(file)
      .filter((name) => !name.startsWith('.') && !isAtHome(file, name))
      .map((name) => `imports ${name}`),
  );

  t.strictSame(faults, []);
});

t.test('environment, exit, output, re-exports and long files have their places', async (t) => {
  const faults = broken((file) => {
    const code = read(file).replace(/^\s*(\/\/|\/?\*).*$/gm, '');
    const lost = words.filter(([word, place]) => word.test(code) && !place.test(file));
    return [
      ...lost.map(([word]) => `has ${word.source}`),
      ...(/^export (type )?(\*|\{[^}]*\}) from/m.test(code) ? ['re-exports'] : []),
      ...(read(file).trimEnd().split('\n').length > 300 ? ['is longer than 300 lines'] : []),
    ];
  });

  t.strictSame(faults, []);
});
