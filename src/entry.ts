#!/usr/bin/env node
import { readForced } from './doors/forced/words.ts';

// What sshd starts for every connection must not wait for the rest of cpm to be loaded.
const words = process.argv.slice(2);
const forced = readForced(words);
if (forced === undefined) void import('./main.ts');
else {
  void import('./doors/forced/enter.ts')
    .then(({ enter }) => enter(forced, words))
    .then((status) => {
      process.stdout.write('', () => process.stderr.write('', () => process.exit(status)));
    });
}
