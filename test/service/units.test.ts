import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../support/process.ts';

const units = join(import.meta.dirname, '../../systemd');
const read = (name: string) => readFileSync(join(units, name), 'utf8');
/** Where this machine has them; whether a program is there is part of what is looked at. */
const service = read('cpm.service').replace('/usr/bin/node', process.execPath);
const socket = read('cpm.socket');
const mostExposure = 2.0;

/** What systemd says of units. */
async function verify(more: string) {
  const folder = mkdtempSync(join(tmpdir(), 'cpm-units-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'cpm.service');
  writeFileSync(file, service + more);
  writeFileSync(join(folder, 'cpm.socket'), socket);
  return { file, answer: await run('systemd-analyze', ['verify', '--man=no', file]) };
}

t.test('systemd finds no fault in the units', async (t) => {
  t.match((await verify('')).answer, { status: 0, stdout: '', stderr: '' });
  t.match((await verify('[Service]\nProtectSytem=strict\n')).answer, { stderr: /ProtectSytem/ });
});

t.test('systemd finds the service well shut in', async (t) => {
  const exposure = async (more: string) => {
    const { file } = await verify(more);
    const words = ['security', '--offline=true', '--no-pager', file];
    const { stdout } = await run('systemd-analyze', words);
    return Number(/Overall exposure level for cpm\.service: ([\d.]+)/.exec(stdout)?.[1]);
  };
  t.ok((await exposure('')) <= mostExposure);
  t.ok((await exposure('[Service]\nSystemCallFilter=\nProtectSystem=no\n')) > mostExposure);
});

t.test(
  'the service is started with the flags of npm start, and its socket is named for it',
  async (t) => {
    const { scripts } = JSON.parse(readFileSync(join(units, '../package.json'), 'utf8'));
    const [, flags = '-'] = /exec node (.+) dist\/cpm\.cjs serve$/.exec(scripts.start) ?? [];
    t.ok(service.includes(`ExecStart=${process.execPath} ${flags} /`));
    t.match(service, /^Environment=MALLOC_ARENA_MAX=1$/m);
    t.match(socket, /^FileDescriptorName=ssh$/m);
    const { settings } = await import('../../src/settings.ts');
    const listens = [...socket.matchAll(/^ListenStream=(.+)$/gm)].map(([, address]) => address);
    t.equal(listens.join(), settings.listen.fallback);
  },
);
