import t from 'tap';
import { UserError } from '../../src/model/errors.ts';
import { readPeoplesRsync } from '../../src/transfer/rsync-people.ts';
import { readRsyncWords } from '../../src/transfer/rsync-words.ts';

const token = '0123456789abcdef0123456789abcdef';
const people = 'acme/app.git/';

/** The two lists of what is allowed, each with a short group and a path that pass. */
const lists = [
  {
    name: 'servers',
    read: readRsyncWords,
    ...{ short: '-trze.iLsfxCIvu', path: `${token}/` },
    elsewhere: [people, `${token}/pack/`, `${token.toUpperCase()}/`, `/${token}/`, token],
  },
  {
    name: 'people',
    read: readPeoplesRsync,
    ...{ short: '-vlogDtprze.iLsfxCIvu', path: people },
    elsewhere: ['.git/', 'acme/.git/', '-/x/', ' /'],
  },
] as const;

const split = (line: string) => line.split(' ');

/** What a client may add to its argv, and no server should do for it. */
const options = [
  '--daemon',
  '--files-from=list',
  '--files-from list',
  '--from0',
  '--remove-source-files',
  '--remove-sent-files',
  '--write-devices',
  '--copy-devices',
  '--devices',
  '--specials',
  '--log-file=/tmp/x',
  '--log-file /tmp/x',
  '--log-file-format=%n',
  '--log-format=%n%i',
  '--temp-dir=/tmp',
  '--temp-dir /tmp',
  '-T /tmp',
  '--partial-dir=.x',
  '--partial-dir /tmp',
  '--backup',
  '--backup-dir=/tmp',
  '--backup-dir /tmp',
  '--suffix=.x',
  '--link-dest=/etc',
  '--link-dest /etc',
  '--copy-dest=/etc',
  '--copy-dest /etc',
  '--compare-dest=/etc',
  '--compare-dest /etc',
  '--max-alloc=1T',
  '--max-alloc=0',
  '--compress-threads=64',
  '--usermap=*:root',
  '--groupmap=*:root',
  '--chown=root:root',
  '--chmod=u+s',
  '--super',
  '--fake-super',
  '--copy-unsafe-links',
  '--copy-links',
  '--copy-dirlinks',
  '--keep-dirlinks',
  '--safe-links',
  '--munge-links',
  '--no-munge-links',
  '--links',
  '--hard-links',
  '--acls',
  '--xattrs',
  '--mkpath',
  '--inplace',
  '--append',
  '--append-verify',
  '--sparse',
  '--preallocate',
  '--fuzzy',
  '--fsync',
  '--debug=ALL',
  '--info=ALL',
  '--iconv=utf-8',
  '--protocol=20',
  '--checksum-seed=1',
  '--checksum-choice=none',
  '--checksum-choice=md4',
  '--checksum-choice md5',
  '--compress-choice=none',
  '--timeout=-1',
  '--timeout=1e9',
  '--timeout 60',
  '--timeout=999999',
  '--bwlimit=1g',
  '--bwlimit=',
  '--delete-excluded',
  '--delete-missing-args',
  '--ignore-errors',
  '--force',
  '--max-delete=-1',
  '--ignore-existing',
  '--existing',
  '--update',
  '--exclude=x',
  '--filter=dir-merge_/.x',
  '--include-from=/etc/passwd',
  '--exclude-from=/etc/passwd',
  '--password-file=/etc/passwd',
  '--early-input=/etc/passwd',
  '--rsync-path=id',
  '--rsh=id',
  '-e id',
  '-M--log-file=/tmp/x',
  '--remote-option=--log-file=/tmp/x',
  '--secluded-args',
  '--protect-args',
  '--old-args',
  '--trust-sender',
  '--confine-root=/',
  '--batch-mode',
  '--write-batch=x',
  '--read-batch=x',
  '--only-write-batch=x',
  '--stop-at=2030-01-01',
  '--server',
  '--sender',
  '--',
  '--=x',
  '--__proto__=1',
  '--constructor',
];

/** Short groups: a flag too many, one twice, the protocol's own part spoiled, or nothing of a group at all. */
const groups = [
  '-s',
  '-stre.iLsfxCIvu',
  '-e.iLsfxCIvu',
  '-e.',
  '-',
  '--',
  'tre.iLsfxCIvu',
  '-trtre.iLsfxCIvu',
  '-tr',
  '-tre.iLsfxCIvuX',
  '-tre.iLsfxCIvu --x',
  '-tre$(id).iLsfxCIvu',
  '-tre31.14;id',
  ...[...'LKkHAXRyUNSbBfFhmPQTVaCEdJMOYZi'].map((flag) => `-tr${flag}e.iLsfxCIvu`),
];

/** Paths that are no session, and no repository. */
const paths = [
  '../',
  '../acme/app.git/',
  'acme/../app.git/',
  './',
  '.',
  '~/../../etc/',
  '-x/',
  '--x/',
  'a\\ b/',
  'acme/app.git/hooks/',
  'acme/app.git/../../x/',
  'acme//app.git/',
  `${token}/../`,
  `${token}/../../x/`,
  `./${token}/`,
  'module::x',
  'a$(id)/b',
  'a*/b',
];

/** Whether a line is refused in a sentence, and not by an accident. */
function refuses(read: (words: readonly string[]) => unknown, line: string): boolean {
  try {
    read(split(line));
    return false;
  } catch (error) {
    if (error instanceof UserError && error.code === 'usage') return true;
    throw error;
  }
}

for (const { name, read, short, path, elsewhere } of lists) {
  const lines = (more: string) => [
    `--server ${short} ${more} . ${path}`,
    `--server --sender ${short} ${more} . ${path}`,
  ];
  /** What is taken of what should be refused. */
  const taken = (hostile: readonly string[]) => hostile.filter((line) => !refuses(read, line));

  t.test(`S24 ${name}: what is on the list passes`, async (t) => {
    const sent = read(split(`--server ${short} --timeout=60 --bwlimit=5000 --delete . ${path}`));
    t.match(JSON.stringify(sent), /"deletes":true/);
    const got = read(split(`--server --sender ${short} --checksum-choice=xxh128 . ${path}`));
    t.match(JSON.stringify(got), /"sender":true/);
  });

  t.test(`S24 ${name}: each option that is not on it is refused by its name`, async (t) => {
    t.same(taken(options.flatMap(lines)), []);
    const [refused = ''] = lines('--write-devices');
    t.throws(() => read(split(refused)), { message: /^rsync: "--write-devices" is not among/ });
    const twice = ['--timeout=9 --timeout=9', '--delete --delete'].map((each) => lines(each)[0]);
    const receivers = ['--delete', '--partial'].map((each) => lines(each)[1]);
    t.same(taken([...twice, ...receivers].map(String)), []);
  });

  t.test(`S24 ${name}: so is each short group, path and form that is another`, async (t) => {
    const asked = ['--server', '--server --sender'];
    t.same(taken(asked.flatMap((side) => groups.map((each) => `${side} ${each} . ${path}`))), []);
    t.same(taken([...paths, ...elsewhere].map((each) => `--server ${short} . ${each}`)), []);
    const forms = [
      '',
      '--daemon .',
      '--server',
      '--server --daemon .',
      `--server ${short}`,
      `--server ${short} .`,
      `--server ${short} ${path}`,
      `--server ${short} .. ${path}`,
      `--server ${short} / ${path}`,
      `--server ${short} . ${path} ${path}`,
      `--sender --server ${short} . ${path}`,
      `${short} . ${path}`,
      `--server ${short} --timeout=1 . ${'x'.repeat(1100)}/`,
      `--server ${short} . ${path}\n`,
      `--server ${short} . ${path}\0`,
      `--server ${short}\n . ${path}`,
    ];
    t.same(taken(forms), []);
  });
}
