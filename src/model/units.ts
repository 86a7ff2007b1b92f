import { UserError } from './errors.ts';
import { quoted } from './repo.ts';

const unitMs: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Milliseconds of `30s`, `10m`, `2h`, `30d`; undefined when it is none of these. */
export function readDurationMs(text: string): number | undefined {
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  if (count === undefined || unit === undefined) return undefined;
  return Number(count) * (unitMs[unit] ?? Number.NaN);
}

const unitBytes: Readonly<Record<string, number>> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 };

/** Bytes of `4096`, `64K`, `20M`, `2G` (binary units); undefined when it is none of these. */
export function readSizeBytes(text: string): number | undefined {
  const [, count, unit] = /^(\d{1,12})([KMG]?)$/.exec(text) ?? [];
  if (count === undefined || unit === undefined) return undefined;
  const bytes = Number(count) * (unitBytes[unit] ?? Number.NaN);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** Bytes for people: `1.5 MB`, binary units as `readSizeBytes` reads them. */
export function sizeText(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const names = ['KB', 'MB', 'GB', 'TB'];
  const step = Math.min(Math.floor(Math.log2(bytes) / 10), names.length);
  return `${(bytes / 1024 ** step).toFixed(1)} ${names[step - 1]}`;
}

const isoShape = /^(\d{4}-\d\d-\d\d)(T\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?)?(Z|[+-]\d\d:\d\d)?$/;

/** The moment of an ISO 8601 text, UTC where it names no zone; undefined when there is no such time. */
function readIso(text: string): Date | undefined {
  const [, day, time, zone] = isoShape.exec(text) ?? [];
  if (day === undefined || (time === undefined && zone !== undefined)) return undefined;
  // Date turns 30 February into 2 March.
  const midnight = new Date(`${day}T00:00Z`);
  if (Number.isNaN(midnight.getTime()) || midnight.toISOString().slice(0, 10) !== day) {
    return undefined;
  }
  const moment = new Date(`${day}${time ?? 'T00:00'}${zone ?? 'Z'}`);
  return Number.isNaN(moment.getTime()) ? undefined : moment;
}

/**
 * A moment given as ISO 8601 (UTC unless it names a zone), or as a duration counted from `now` in the given direction.
 *
 * @returns ISO 8601 UTC with milliseconds
 * @throws UserError `usage`
 */
export function readMoment(text: string, now: Date, direction: 'ago' | 'ahead'): string {
  const durationMs = readDurationMs(text);
  if (durationMs !== undefined) {
    const moment = new Date(now.getTime() + (direction === 'ago' ? -durationMs : durationMs));
    if (!Number.isNaN(moment.getTime())) return moment.toISOString();
  }
  const moment = readIso(text);
  if (moment !== undefined) return moment.toISOString();
  throw new UserError('usage', `${quoted(text)} is not a time`, {
    hint: 'give 30s, 10m, 2h, 30d or an ISO 8601 time such as 2026-12-24T18:00:00Z',
  });
}

/** `1st`, `2nd`, `3rd`, `4th`, `11th`, `21st`. */
export function ordinal(place: number): string {
  const isTeen = Math.floor(place / 10) % 10 === 1;
  const end = isTeen ? 'th' : (['th', 'st', 'nd', 'rd'][place % 10] ?? 'th');
  return `${place}${end}`;
}

/** `1 key`, `2 keys`. @param noun - one that takes an s */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
