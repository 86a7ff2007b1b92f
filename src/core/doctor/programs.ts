import { sshVersion } from '../../programs/ssh.ts';
import type { Core } from '../core.ts';
import { type Finding, fail, ok, warn } from './finding.ts';

const oldestNode = [20, 19];
/** The first rsync in which the holes that are known so far are closed (replication.md, section 4). */
const soundRsync = 3.5;

/** Node, git, ssh and rsync, by their versions. */
export async function checkPrograms(core: Core): Promise<readonly Finding[]> {
  return [nodeFinding(), ok('git', core.git.version), await sshFinding(), await rsyncFinding(core)];
}

function nodeFinding(): Finding {
  const { node } = process.versions;
  const [major = 0, minor = 0] = node.split('.').map(Number);
  const [least = 0, leastMinor = 0] = oldestNode;
  if (major > least || (major === least && minor >= leastMinor)) return ok('node', node);
  return fail('node', `${node} is too old`, 'install Node.js 20.19 or newer');
}

async function sshFinding(): Promise<Finding> {
  const version = await sshVersion();
  if (version !== undefined) return ok('ssh', version);
  return warn(
    'ssh',
    'there is no ssh client in /usr/bin: other servers can not be reached',
    'install it, on Debian and Ubuntu: apt install openssh-client',
  );
}

async function rsyncFinding({ rsync }: Core): Promise<Finding> {
  const version = await rsync.version();
  if (version === undefined) {
    return warn(
      'rsync',
      'none that is 3.2.7 or newer: tar takes its place between servers',
      'install it, on Debian and Ubuntu: apt install rsync',
    );
  }
  if (Number.parseFloat(version) >= soundRsync) return ok('rsync', version);
  return warn(
    'rsync',
    `${version}: holes that 3.5.0 closed may be open in it; the number does not tell what a distribution mended`,
    'take the newest of your distribution, on Debian from bookworm-security',
  );
}
