import t from 'tap';
import { sandbox } from '../campaigns/sandbox.ts';

t.test('a real systemd installs and shuts in the service, which serves all the same', (t) =>
  sandbox(t, { restarts: 0 }),
);
