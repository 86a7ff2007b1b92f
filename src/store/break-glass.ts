import type { Write } from './changes.ts';

const breakGlassKey = 'break_glass';

/** The site admin of this server whom no import changes: the first one there was when it began to follow (S19). */
export async function keepBreakGlass({ trx }: Write, id: string | undefined): Promise<void> {
  if (id === undefined) return;
  await trx
    .insertInto('meta')
    .values({ key: breakGlassKey, value: id })
    .onConflict((on) => on.column('key').doNothing())
    .execute();
}

/** The id of that site admin; undefined where nothing was ever followed. */
export async function breakGlassOf({ trx }: Write): Promise<string | undefined> {
  const row = await trx
    .selectFrom('meta')
    .select('value')
    .where('key', '=', breakGlassKey)
    .executeTakeFirst();
  return row?.value;
}
