import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const daemon = "net.createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))";

/** A socket at `path` that nobody listens on any more: what a daemon leaves behind that was killed. */
export async function leaveDeadSocket(path: string): Promise<void> {
  await assert.rejects(promisify(execFile)(process.execPath, ['-e', daemon, path]), { signal: 'SIGKILL' });
}
