import type { Config } from '../config.ts';
import type { Ask, Granted } from '../core/ask.ts';
import type { Core } from '../core/core.ts';
import type { UserError } from '../model/errors.ts';
import type { Principal } from '../model/principal.ts';
import type { Progress } from '../programs/watched.ts';
import type { Actor } from '../store/changes.ts';

/** How the text of an argument is checked before anything is looked up. */
export type Format =
  | 'acts'
  | 'address'
  | 'alias'
  | 'branch'
  | 'description'
  | 'duration'
  | 'file'
  | 'fingerprint'
  | 'head'
  | 'host'
  | 'invitation'
  | 'listen'
  | 'message'
  | 'moment'
  | 'name'
  | 'namespace'
  | 'network'
  | 'oid'
  | 'new-repo'
  | 'path'
  | 'pattern'
  | 'ref'
  | 'ref-pattern'
  | 'refs'
  | 'repo'
  | 'server'
  | 'server-url'
  | 'rate'
  | 'setting'
  | 'size'
  | 'source'
  | 'text'
  | 'url'
  | 'value'
  | 'uuid'
  | 'who'
  | 'whom'
  | 'words';

/** One argument, as a JSON Schema; `format` says which check of `shell/formats.ts` it has to pass. */
export type ArgSchema =
  | {
      readonly type: 'string';
      readonly format: Format;
      readonly description: string;
    }
  | {
      readonly type: 'string';
      readonly enum: readonly string[];
      readonly description: string;
    }
  | { readonly type: 'boolean'; readonly description: string }
  | { readonly type: 'integer'; readonly minimum: number; readonly description: string }
  | {
      readonly type: 'array';
      readonly items: { readonly type: 'string'; readonly format: Format };
      readonly description: string;
    };

type Value<S extends ArgSchema> = S extends { enum: readonly (infer E)[] }
  ? E
  : S extends { type: 'string' }
    ? string
    : S extends { type: 'boolean' }
      ? boolean
      : S extends { type: 'integer' }
        ? number
        : readonly string[];

/** The TypeScript side of a command's `args`. */
export type Args<A extends Readonly<Record<string, ArgSchema>>, R extends keyof A> = {
  readonly [K in keyof A as K extends R ? K : never]: Value<A[K]>;
} & { readonly [K in keyof A as K extends R ? never : K]?: Value<A[K]> | undefined };

/** A JSON Schema of an answer: enough of the standard to describe what cpm prints. */
export interface AnswerSchema {
  readonly type: 'object' | 'array' | 'string' | 'integer' | 'boolean' | readonly string[];
  readonly properties?: Readonly<Record<string, AnswerSchema>>;
  readonly required?: readonly string[];
  readonly items?: AnswerSchema;
  readonly enum?: readonly string[];
  readonly format?: string;
  /** Whether an object has more fields than those named here; without it, it has none. */
  readonly additionalProperties?: true;
}

/** What a handler gets besides its arguments. */
export interface Context {
  readonly core: Core;
  readonly principal: Principal;
  /** Who writes what it changes, and whether it is a dry run. */
  readonly by: Actor;
  /** What the command's ask led to. */
  readonly granted: Granted;
  readonly signal: AbortSignal;
  /** Declares that it may be silent for as long as it likes: the limit of idle connections does not count for it. */
  staySilent(): void;
  /** Whether the operator, on the machine itself, asks. */
  readonly local: boolean;
  /** The configuration file that was named with `--config`, which may not be the one that a running server reads. */
  readonly configFile: string | undefined;
  /** Whether the server itself asks, for something fell due. */
  readonly byClock: boolean;
  /** The content of a FILE argument: `-` is standard input. At most 1 MiB unless told. @throws UserError `usage` */
  readFile(file: string, largestBytes?: number): Promise<Buffer>;
  /** Absolute path of a PATH argument; only the local door has any. @throws UserError `usage` */
  resolvePath(path: string): string;
  /** Asks the person at a terminal; absent without one. */
  readonly ask: ((question: string) => Promise<boolean>) | undefined;
  /** Standard input as it comes. */
  input(): AsyncIterable<Buffer>;
  /** Tells a person at a terminal how far something long is; absent where nobody looks. */
  readonly progress: ((now: Progress) => void) | undefined;
  /** A line for the person, on stderr. */
  note(line: string): void;
  /** Adds to what the record keeps of the request. */
  record(detail: Readonly<Record<string, unknown>>): void;
}

/** A list that is made while it is printed. */
export type Rows<T> = AsyncIterable<T>;

/** A command: what it is called, takes, needs, does and answers. Plain data but for three functions. */
export interface Command {
  /** `user add` */
  readonly words: string;
  readonly summary: string;
  /** Lines that a person can type, without `cpm`; each is run by a test. */
  readonly examples: readonly string[];
  readonly args: Readonly<Record<string, ArgSchema>>;
  /** The arguments given by position, in order. */
  readonly positions: readonly string[];
  readonly required: readonly string[];
  readonly answer: AnswerSchema;
  /** Whether it changes state: then it takes `--dry-run`, and its record is durable before it answers. */
  readonly changes: boolean;
  /** Whether it needs `--yes`, or a confirmation on a terminal. */
  readonly asks: boolean;
  /** Whether it counts as a push of who asks, of whom so many run at once and the others wait in line. */
  readonly takesTurn: boolean;
  /** The question whose answer, read without echo at a local terminal, is its standard input; undefined for none. */
  secret?(args: Readonly<Record<string, unknown>>): string | undefined;
  /** What it will mean, told before it is done and confirmed where there is a terminal; it goes ahead without one. */
  means?(args: Readonly<Record<string, unknown>>): string;
  /** Whether help leaves it out of its lists: it is for programs. */
  readonly unlisted: boolean;
  /** Looks at the arguments together, as a format looks at one: before rights, and without a look-up. @throws UserError `usage` */
  check?(args: Readonly<Record<string, unknown>>): void;
  /** The command that some arguments make of it: one that reads may have a form that changes something. */
  instead?(args: Readonly<Record<string, unknown>>): Command | undefined;
  /** What must be allowed, from the arguments alone. */
  needs(args: Readonly<Record<string, unknown>>): Ask;
  /** What it is about, for the record. */
  target(args: Readonly<Record<string, unknown>>): string | undefined;
  run(context: Context, args: Readonly<Record<string, unknown>>): Promise<unknown>;
  /** Answers without a data directory; undefined where it needs one after all. Only for what may need none. */
  offline?(args: Readonly<Record<string, unknown>>): Promise<unknown>;
  /** Answers from the configuration alone, where there is no data directory yet. */
  beforehand?(config: Config, args: Readonly<Record<string, unknown>>): Promise<unknown>;
  /** How the answer reads; for a list, how one row reads as cells. */
  text(answer: unknown): string;
  /** Why an answer, once printed, is a no after all; undefined where it is none. */
  refusal?(answer: unknown): UserError | undefined;
  /** The heads of a list's columns; a list is printed row by row. */
  readonly columns?: readonly string[];
  /** The columns that these arguments leave out. */
  hidden?(args: Readonly<Record<string, unknown>>): readonly string[];
  cells?(row: unknown): readonly string[];
  /** Rows are printed as one JSON object a line, whatever was asked. */
  readonly lines?: true;
}

interface Definition<A extends Readonly<Record<string, ArgSchema>>, R extends keyof A & string, T> {
  words: string;
  summary: string;
  examples: readonly string[];
  args: A;
  positions?: readonly (keyof A & string)[];
  required?: readonly R[];
  answer: AnswerSchema;
  changes?: boolean;
  asks?: boolean;
  takesTurn?: boolean;
  means?(args: Args<A, R>): string;
  secret?(args: Args<A, R>): string | undefined;
  unlisted?: boolean;
  check?(args: Args<A, R>): void;
  instead?(args: Args<A, R>): Command | undefined;
  needs(args: Args<A, R>): Ask;
  target?(args: Args<A, R>): string | undefined;
  run(context: Context, args: Args<A, R>): Promise<T>;
  offline?(args: Args<A, R>): Promise<T | undefined>;
  beforehand?(config: Config, args: Args<A, R>): Promise<T>;
  text(answer: T): string;
  refusal?(answer: T): UserError | undefined;
}

/** A command whose answer is one document. */
export function command<
  const A extends Readonly<Record<string, ArgSchema>>,
  const R extends keyof A & string,
  T,
>(definition: Definition<A, R, T>): Command {
  const defaults = {
    positions: [],
    required: [],
    changes: false,
    asks: false,
    takesTurn: false,
    unlisted: false,
    target: () => undefined,
  };
  // The handlers' argument types are derived from `args`, which the parser has checked: here the two meet.
  return { ...defaults, ...definition } as unknown as Command;
}

/** A command whose answer is a list, streamed row by row. */
export function list<
  const A extends Readonly<Record<string, ArgSchema>>,
  const R extends keyof A & string,
  T,
>(
  definition: Omit<Definition<A, R, Rows<T>>, 'text' | 'answer'> & {
    row: AnswerSchema;
    columns: readonly string[];
    hidden?(args: Args<A, R>): readonly string[];
    cells(row: T): readonly string[];
  },
): Command {
  const { row, ...rest } = definition;
  return command({
    ...(rest as unknown as Definition<A, R, Rows<T>>),
    answer: { type: 'array', items: row },
    text: () => '',
  });
}

/** A command whose answer is a stream of rows for programs: one JSON object a line, with and without --json. */
export function lines<
  const A extends Readonly<Record<string, ArgSchema>>,
  const R extends keyof A & string,
  T,
>(definition: Omit<Definition<A, R, Rows<T>>, 'text' | 'answer'> & { row: AnswerSchema }): Command {
  const { row, ...rest } = definition;
  const defined = { ...rest, text: () => '' } as unknown as Definition<A, R, Rows<T>>;
  return { ...command({ ...defined, answer: { type: 'array', items: row } }), lines: true };
}
