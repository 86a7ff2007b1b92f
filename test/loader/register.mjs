/** `node --import ./test/loader/register.mjs FILE.ts`: runs TypeScript, compiled once and kept in dist/tests/. */
import { register } from 'node:module';

register('./hooks.mjs', import.meta.url);
