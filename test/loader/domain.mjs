/**
 * Stands in for `async-hook-domain`, by which tap learns which test an uncaught error belongs to. That one has Node tell
 * it of the beginning and the end of every promise and timer, which takes a fifth of the time of a test that does its work in its
 * own process. Here the test is what Node carries along by itself.
 */
import { AsyncLocalStorage } from 'node:async_hooks';

/** @type {AsyncLocalStorage<Domain>} */
const current = new AsyncLocalStorage();
/** Of the tests that are not over, the first is tap's own, which takes what belongs to no other. @type {Set<Domain>} */
const living = new Set();

export class Domain {
  /** @param {(error: unknown, origin: string) => void} onerror */
  constructor(onerror) {
    this.onerror = onerror;
    living.add(this);
    current.enterWith(this);
  }

  destroy() {
    living.delete(this);
  }
}

process.on('uncaughtException', (error, origin) => {
  const domain = current.getStore();
  const [first] = living;
  const taker = domain !== undefined && living.has(domain) ? domain : first;
  // Thrown from here it ends the process, as it does where nobody listens.
  if (taker === undefined) throw error;
  taker.onerror(error, origin);
});
