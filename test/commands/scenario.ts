import type { Entrance } from '../support/house.ts';
import type { Answer, Surroundings } from '../support/process.ts';

/** The words of a line that has no quotes. */
export function words(line: string): string[] {
  return line.split(' ').filter((word) => word !== '');
}

/** The JSON document that a command prints. @throws with what it said, when it fails or prints none */
export async function json(
  door: Pick<Entrance, 'run'>,
  line: string,
  surroundings?: Surroundings,
): Promise<unknown> {
  const { status, stdout, stderr } = await door.run([...words(line), '--json'], surroundings);
  if (status !== 0) throw new Error(`${line}: status ${status}\n${stderr}`);
  return JSON.parse(stdout);
}

/** What a refusal looks like: its status, one line that says what and why, and nothing on stdout. */
export function refused(status: number, why: RegExp, hint?: RegExp) {
  return {
    status,
    stdout: '',
    stderr: hint === undefined ? why : new RegExp(`${why.source}[^]*\\nhint: .*${hint.source}`),
  };
}

/** A person as a door: the same words, with that person's rights. */
export function doorOf(person: {
  ssh(words: readonly string[], surroundings?: Surroundings): Promise<Answer>;
}): Pick<Entrance, 'run'> {
  return { run: (line, surroundings) => person.ssh(line, surroundings) };
}
