import type { Readable } from 'node:stream';

const mostBytes = 4096;

/**
 * Reads one line that nobody should see: from a terminal without echo, with a question before it; from anything else as
 * it comes.
 *
 * @returns the line without its end; empty where there is none
 */
export async function readSecret(stdin: Readable, question: string): Promise<string> {
  const { isTTY } = process.stdin;
  if (isTTY) {
    process.stderr.write(question);
    process.stdin.setRawMode(true);
  }
  try {
    let text = '';
    for await (const chunk of stdin.iterator({ destroyOnReturn: false })) {
      for (const each of String(chunk)) {
        // In raw mode Ctrl-C is a character, and so is the key that takes the last one back.
        if (isTTY && each === '\u0003') return '';
        if (each === '\r' || each === '\n') return text;
        text = isTTY && each === '\u007f' ? text.slice(0, -1) : text + each;
      }
      if (text.length > mostBytes) return text;
    }
    return text;
  } finally {
    if (isTTY) {
      process.stdin.setRawMode(false);
      process.stderr.write('\n');
    }
  }
}
