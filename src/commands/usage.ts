import { UserError } from '../model/errors.ts';
import type { ArgSchema, Command } from './command.ts';

/**
 * Refuses a command that changes settings and is given none.
 *
 * @param settings - the flags one of which it takes
 * @throws UserError `usage`
 */
export function checkNotEmpty(
  words: string,
  settings: readonly string[],
  args: Readonly<Record<string, unknown>>,
): void {
  if (settings.some((name) => args[name] !== undefined)) return;
  throw new UserError('usage', `${words}: what is to be changed?`, {
    hint: `give ${settings.map((name) => `--${name}`).join(', ')}; see: help ${words}`,
  });
}

/** `user add NAME [--key FILE] [--admin]` */
export function usageLine(command: Command): string {
  const parts = [command.words];
  for (const name of command.positions) {
    const many = command.args[name]?.type === 'array' ? '…' : '';
    const word = `${name.toUpperCase()}${many}`;
    parts.push(command.required.includes(name) ? word : `[${word}]`);
  }
  for (const [name, schema] of Object.entries(command.args)) {
    if (command.positions.includes(name)) continue;
    const flag = schema.type === 'boolean' ? `--${name}` : `--${name} ${valueWord(schema)}`;
    parts.push(command.required.includes(name) ? flag : `[${flag}]`);
  }
  if (command.asks) parts.push('--yes');
  return parts.join(' ');
}

function valueWord(schema: ArgSchema): string {
  if ('enum' in schema) return schema.enum.join('|');
  if (schema.type === 'array') return `${schema.items.format.toUpperCase()}…`;
  return 'format' in schema ? schema.format.toUpperCase() : 'N';
}
