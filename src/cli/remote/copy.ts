import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';

/**
 * What receives the program on the node, as `sh -c SCRIPT sh SIZE ARGS…`: it takes exactly SIZE bytes of stdin, so that
 * nothing hangs on when the connection ends, and leaves nothing behind.
 */
export const receiver = [
  'set -e',
  'd=$(mktemp -d /var/tmp/sandwarden.XXXXXXXX)',
  // The program gets the signals that this shell gets, and is waited for.
  'trap \'rm -rf "$d"\' EXIT',
  'head -c "$1" | tar -xzf - -C "$d"',
  'shift',
  '"$d/node" "$d/dist/sandwarden.js" "$@" & p=$!',
  "trap 'kill -TERM $p' TERM INT HUP",
  'set +e',
  'wait $p; code=$?',
  'while kill -0 $p 2>/dev/null; do wait $p; code=$?; done',
  'exit $code',
].join('\n');

/**
 * This program and the Node that runs it, as a compressed archive (some 45 MB). Throws ERR_PRECONDITION for a node of
 * another architecture, ERR_COMMAND_FAILED where tar(1) fails.
 */
export async function packProgram(
  architecture: string,
  main = process.argv[1] ?? '',
  node = process.execPath,
): Promise<Buffer> {
  const own = process.arch === 'x64' ? 'amd64' : process.arch;
  if (architecture !== own) {
    throw new SandwardenError('ERR_PRECONDITION', `the node is ${architecture}, and this program is for ${own}`, {
      hint: 'Run it from a machine like the node, or install Sandwarden there.',
    });
  }
  const bundle = dirname(main);
  if (basename(main) !== 'sandwarden.js' || basename(bundle) !== 'dist' || !existsSync(main)) {
    throw new SandwardenError('ERR_PRECONDITION', 'only the built program can be copied', {
      hint: 'Run the installed sandwarden (make install).',
    });
  }
  const names = ['-C', dirname(node), basename(node), '-C', dirname(bundle), 'dist'];
  return tar(['-czhf', '-', `--transform=s|^${basename(node)}$|node|`, ...names]);
}

function tar(args: readonly string[]): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const child = spawn('tar', args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: limits.nodeCopyMs });
    const [chunks, words]: [Buffer[], Buffer[]] = [[], []];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => words.push(chunk));
    const failed = (why: string, cause?: unknown) =>
      reject(new SandwardenError('ERR_COMMAND_FAILED', `tar failed: ${why}`, { hint: 'Install tar.', cause }));
    child.on('error', (error) => failed(error.message, error));
    child.on('close', (code) => {
      if (code === 0) resolve(Buffer.concat(chunks));
      else failed(Buffer.concat(words).toString('utf8').slice(0, 300));
    });
  });
}
