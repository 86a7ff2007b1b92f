const lookMs = 1000;

/**
 * Watches for the end of whoever reads what this process writes. Node shows nothing of a pipe that nobody reads until it
 * writes: so this looks whether sshd is still there, which ends with its connection. One of several sessions of a
 * connection that ends alone is noticed by the next write, or by the limit of idle ones.
 */
export function tellLeft(left: () => void): void {
  const parent = process.ppid;
  process.stdout.once('error', left);
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    left();
  }, lookMs);
  timer.unref();
}
