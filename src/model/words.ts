import { UserError } from './errors.ts';

const longestLineBytes = 64 * 1024;
const usualHint = 'quote words as a POSIX shell does';

/**
 * Splits a command line into words as a POSIX shell would: single and double quotes, backslash. Nothing is
 * expanded, and no character is an operator.
 *
 * @throws UserError `usage` for an open quote, a control character, a second line, or more than 64 KiB
 * @see POSIX.1-2017, Shell Command Language, 2.2 Quoting
 */
export function splitWords(line: string): string[] {
  checkLine(line);
  const words: string[] = [];
  let word: string | undefined;
  let at = 0;
  while (at < line.length) {
    const char = line.charAt(at);
    if (isBlank(char)) {
      if (char === '\n') checkNothingFollows(line, at);
      if (word !== undefined) words.push(word);
      word = undefined;
      at += 1;
      continue;
    }
    const piece = readPiece(line, at);
    word = (word ?? '') + piece.text;
    at = piece.next;
  }
  if (word !== undefined) words.push(word);
  return words;
}

/** Text that stands for itself, and where the line goes on. */
interface Piece {
  readonly text: string;
  readonly next: number;
}

function readPiece(line: string, at: number): Piece {
  switch (line.charAt(at)) {
    case "'":
      return readSingleQuoted(line, at + 1);
    case '"':
      return readDoubleQuoted(line, at + 1);
    case '\\':
      return readEscaped(line, at + 1);
    default:
      return readPlain(line, at);
  }
}

function readPlain(line: string, at: number): Piece {
  const length = line.slice(at).search(/[ \t\n'"\\]/);
  const next = length < 0 ? line.length : at + length;
  return { text: line.slice(at, next), next };
}

function readSingleQuoted(line: string, start: number): Piece {
  const end = line.indexOf("'", start);
  if (end < 0) throw openQuote("'");
  return { text: line.slice(start, end), next: end + 1 };
}

function readDoubleQuoted(line: string, start: number): Piece {
  let text = '';
  for (let at = start; at < line.length; at += 1) {
    const char = line.charAt(at);
    if (char === '"') return { text, next: at + 1 };
    const next = line.charAt(at + 1);
    if (char !== '\\' || !'$`"\\\n'.includes(next) || next === '') {
      text += char;
      continue;
    }
    at += 1;
    if (next !== '\n') text += next;
  }
  throw openQuote('"');
}

function readEscaped(line: string, at: number): Piece {
  const char = line.charAt(at);
  if (char === '') {
    throw new UserError('usage', 'the command ends with a backslash', { hint: usualHint });
  }
  return { text: char === '\n' ? '' : char, next: at + 1 };
}

function isBlank(char: string): boolean {
  return char === ' ' || char === '\t' || char === '\n';
}

function checkNothingFollows(line: string, at: number): void {
  if (line.slice(at).trim() === '') return;
  throw new UserError('usage', 'the command has more than one line', {
    hint: 'give one command at a time, and quote a text of several lines',
  });
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const control = /[\u0000-\u0008\u000b-\u001f\u007f]/;

function checkLine(line: string): void {
  const size = Buffer.byteLength(line);
  if (size > longestLineBytes) {
    throw new UserError('usage', `the command is too long: ${size} bytes, 65536 are allowed`, {
      hint: 'longer texts are read from standard input: give - in their place',
    });
  }
  const found = control.exec(line)?.[0];
  if (found === undefined) return;
  const code = found.charCodeAt(0).toString(16).padStart(2, '0');
  throw new UserError('usage', `the command has a control character in it (0x${code})`, {
    hint: 'only line breaks and tabs are taken, within quotes',
  });
}

function openQuote(quote: string): UserError {
  return new UserError('usage', `the command has an open quote (${quote})`, { hint: usualHint });
}
