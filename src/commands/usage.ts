import { UserError } from '../model/errors.ts';
import type { ArgSchema, Command } from './command.ts';

/**
 * Refuses a command that changes settings and is given none.
 *
 * @param settings - its flags, as far as they were given
 * @param flags - their names, for the hint
 * @throws UserError `usage`
 */
export function checkNotEmpty(
  words: string,
  settings: Readonly<Record<string, unknown>>,
  flags: string,
): void {
  if (Object.values(settings).some((value) => value !== undefined)) return;
  throw new UserError('usage', `${words}: what is to be changed?`, { hint: `give ${flags}` });
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
