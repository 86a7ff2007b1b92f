import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { readTar } from '../../src/model/ustar.ts';
import { must } from '../support/process.ts';

async function tar(t: Test, ...flags: string[]): Promise<Buffer> {
  const dir = t.testdir({ 'bob.pub': 'ssh-ed25519 bob\n', sub: { 'ana.pub': 'x'.repeat(1500) } });
  return (await must('tar', ['-C', dir, ...flags, '-cf', '-', '.'])).bytes;
}

t.test('archives of tar in its usual forms are read', async (t) => {
  for (const form of ['gnu', 'ustar', 'posix', 'oldgnu']) {
    const entries = readTar(await tar(t, `--format=${form}`));

    const files = entries
      .filter(({ kind }) => kind === 'file')
      .map(({ path, content }) => [path, content.length])
      .sort();
    t.strictSame(
      files,
      [
        ['bob.pub', 16],
        ['sub/ana.pub', 1500],
      ],
      form,
    );
    t.equal(entries.filter(({ kind }) => kind === 'directory').length, 2, form);
  }
});

t.test('a long path that ustar can hold is put together', async (t) => {
  const dir = t.testdir({});
  const folder = 'f'.repeat(90);
  mkdirSync(join(dir, folder));
  writeFileSync(join(dir, folder, `${'n'.repeat(60)}.pub`), 'x');
  const { bytes } = await must('tar', ['-C', dir, '--format=ustar', '-cf', '-', folder]);

  t.match(readTar(bytes)[1], { path: `${folder}/${'n'.repeat(60)}.pub`, kind: 'file' });
});

t.test('links are only named', async (t) => {
  const dir = t.testdir({});
  symlinkSync('/etc/passwd', join(dir, 'bob.pub'));
  const { bytes } = await must('tar', ['-C', dir, '-cf', '-', '.']);

  t.match(readTar(bytes).at(-1), { path: 'bob.pub', kind: 'other', content: { length: 0 } });
});

t.test('an archive that is damaged, cut off or leads outside is refused whole', async (t) => {
  const whole = await tar(t);
  const changed = (at: number, text: string) => {
    const copy = Buffer.from(whole);
    copy.write(text, at, 'latin1');
    return copy;
  };
  /** With a name of our own, and the sum of its header right. */
  const named = (name: string, type = '0') => {
    const header = Buffer.alloc(512);
    header.write(name, 0);
    header.write('0000644\0', 100);
    header.write('00000000000\0', 124);
    header.write('        ', 148);
    header.write(type, 156);
    header.write('ustar\x0000', 257);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    return Buffer.concat([header, Buffer.alloc(1024)]);
  };
  t.match(
    readTar(named('plain.pub')),
    [{ path: 'plain.pub' }],
    'the maker of these cases is right',
  );
  const cases: [string, Buffer, RegExp][] = [
    ['empty', Buffer.alloc(0), /cut off/],
    ['text', Buffer.from('ssh-ed25519 AAAA\n'.repeat(40)), /not in ustar form/],
    ['cut in a file', whole.subarray(0, 1024 + 100), /cut off/],
    ['no end', whole.subarray(0, 512), /cut off/],
    ['another name', changed(0, 'x'), /header is damaged/],
    ['no number', changed(124, 'zz'), /damaged|octal/],
    ['absolute', named('/etc/bob.pub'), /"\/etc\/bob.pub" leads outside/],
    ['upwards', named('sub/../../bob.pub'), /leads outside/],
    ['nameless', named(''), /leads outside/],
    ['long name', named('././@LongLink', 'L'), /longer than 100 bytes/],
  ];
  for (const [name, bytes, message] of cases) {
    t.throws(() => readTar(bytes), { code: 'usage', message }, name);
  }
  const long = t.testdir({ ['n'.repeat(120)]: 'x' });
  const { bytes } = await must('tar', ['-C', long, '--format=posix', '-cf', '-', '.']);
  t.throws(() => readTar(bytes), { message: /too long or not plain/ }, 'a renaming header');
});
