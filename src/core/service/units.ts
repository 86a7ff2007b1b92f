import { dirname, relative } from 'node:path';
import { UserError } from '../../model/errors.ts';
import { escapeControls, quoted } from '../../model/repo.ts';
import type { ListenAddress } from '../../settings.ts';

/** What of a machine and of the settings goes into the units. Paths are absolute. */
export interface ServiceFacts {
  readonly node: string;
  readonly script: string;
  readonly dataDir: string;
  readonly databasePath: string;
  /** Undefined where the service finds its own. */
  readonly configFile: string | undefined;
  /** Whom the service runs as; undefined for one of a person's own systemd. */
  readonly account: string | undefined;
  readonly listen: readonly ListenAddress[];
  readonly graceMs: number;
}

/** What a person's own systemd can't do for a service, or has no need to. */
const systemAlone =
  /^(CapabilityBoundingSet|Private\w+|ProcSubset|Protect\w+|RemoveIPC|RequiresMountsFor|StateDirectory|StateDirectoryMode|User)=/;
const stateRoot = '/var/lib/';
/** What a server takes to end besides its grace. */
const endingS = 60;

/**
 * The service's unit for a machine.
 *
 * @param template - systemd/cpm.service
 * @throws UserError `usage` for a path that a unit can't name
 */
export function serviceUnit(template: string, facts: ServiceFacts): string {
  const { account, graceMs } = facts;
  const set: Readonly<Record<string, readonly string[]>> = {
    ExecStart: [startLine(template, facts)],
    TimeoutStopSec: [`TimeoutStopSec=${Math.ceil(graceMs / 1000) + endingS}s`],
    ...(account === undefined
      ? { WantedBy: ['WantedBy=default.target'] }
      : {
          User: [`User=${account}`],
          RequiresMountsFor: [`RequiresMountsFor=${places(facts).map(path).join(' ')}`],
          StateDirectory: roomLines(facts),
        }),
  };
  return template
    .split('\n')
    .filter((line) => account !== undefined || !systemAlone.test(line))
    .flatMap((line) => set[line.split('=')[0] ?? ''] ?? [line])
    .join('\n');
}

/**
 * The socket's unit.
 *
 * @param template - systemd/cpm.socket
 * @throws UserError `usage` for an address that is a name, or has no port yet
 */
export function socketUnit(template: string, { listen }: Pick<ServiceFacts, 'listen'>): string {
  const lines = listen.map(({ host, port }) => {
    if (!/^[0-9a-fA-F.:]+$/.test(host) || port === 0) {
      throw new UserError('usage', `systemd can't listen on ${host}:${port}`, {
        hint: 'set listen to an address and a port, as in 0.0.0.0:22,[::]:22',
      });
    }
    return `ListenStream=${host.includes(':') ? `[${host}]` : host}:${port}`;
  });
  const [first, ...others] = template
    .split('\n')
    .filter((line) => line.startsWith('ListenStream='));
  return template
    .split('\n')
    .filter((line) => !others.includes(line))
    .flatMap((line) => (line === first ? lines : [line]))
    .join('\n');
}

/** The piece of a unit that says who is the first site admin. */
export function adminUnit({ name, keyFile }: { name: string; keyFile: string }): string {
  const key = word(`CPM_ADMIN_KEY=${keyFile}`);
  const why = '# Read at the first start, and without meaning once a user has existed.';
  return `${why}\n[Service]\nEnvironment=CPM_ADMIN=${name}\nEnvironment=${key}\n`;
}

function startLine(template: string, { node, script, dataDir, configFile }: ServiceFacts): string {
  const flags = /^ExecStart=\S+ ((?:--\S+ )*)/m.exec(template)?.[1]?.trim().split(' ') ?? [];
  const where = ['--data-dir', dataDir, ...(configFile ? ['--config', configFile] : [])];
  const words = [node, ...flags, script, ...where, 'serve'];
  return `ExecStart=${words.map((each) => word(each).replaceAll('$', '$$$$')).join(' ')}`;
}

/** Where the service must be able to write. */
function places({ dataDir, databasePath }: ServiceFacts): readonly string[] {
  const isWithin = !relative(dataDir, databasePath).startsWith('..');
  return isWithin ? [dataDir] : [dataDir, dirname(databasePath)];
}

/** systemd makes what lies in its own place for it; what lies elsewhere is shown to the service there. */
function roomLines(facts: ServiceFacts): readonly string[] {
  return places(facts).map((place) => {
    const isState = /^\/var\/lib\/[A-Za-z0-9_-][A-Za-z0-9._/-]*$/.test(place);
    return isState ? `StateDirectory=${place.slice(stateRoot.length)}` : `BindPaths=${path(place)}`;
  });
}

/** @throws UserError `usage` for one that a list of paths can't name */
function path(text: string): string {
  if (!text.includes(':')) return word(text);
  throw new UserError('usage', `${quoted(text)} has a colon, which no unit of systemd can name`);
}

/** A word as systemd reads it back. @throws UserError `usage` for control characters */
function word(text: string): string {
  if (escapeControls(text) !== text) {
    throw new UserError('usage', `${quoted(text)} has characters that no unit of systemd can name`);
  }
  const plain = text.replaceAll('%', '%%');
  if (/^[^\s"'\\;]+$/.test(plain)) return plain;
  return `"${plain.replaceAll(/["\\]/g, '\\$&')}"`;
}
