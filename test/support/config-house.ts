import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { House } from './house.ts';

/** A house whose operator wrote a configuration file with comments of their own. */
export interface ConfigHouse {
  readonly house: House;
  /** The configuration file. */
  readonly file: string;
  /** Writes another file. @returns its path */
  place(name: string, text: string): string;
}

export async function openConfigHouse(t: {
  teardown(close: () => unknown): void;
}): Promise<ConfigHouse> {
  const house = await House.open(t, {
    config:
      '# ours\nlog_level: warn # not so much\n\nlimits:\n  # short\n  idle: 5m\n  channels: 7\n',
  });
  return {
    house,
    file: join(house.folder, 'config.yaml'),
    place: (name, text) => {
      const path = join(house.folder, name);
      writeFileSync(path, text);
      return path;
    },
  };
}
