import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';

export interface PackOptions {
  /** The program, where it is not the one that runs. */
  readonly main?: string;
  readonly node?: string;
  /** Ends it: the abort's reason is thrown. */
  readonly signal?: AbortSignal;
}

/**
 * This program and the Node that runs it, as a compressed archive (some 45 MB). Throws ERR_PRECONDITION for a node of
 * another architecture, ERR_COMMAND_FAILED where tar(1) fails.
 */
export async function packProgram(
  architecture: string,
  { main = process.argv[1] ?? '', node = process.execPath, signal }: PackOptions = {},
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
  // What `make image` made lies beside the program.
  const notThese = '--exclude=dist/*.tar';
  return tar(['-czhf', '-', notThese, `--transform=s|^${basename(node)}$|node|`, ...names], signal);
}

function tar(args: readonly string[], signal: AbortSignal | undefined): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const child = spawn('tar', args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: limits.nodeCopyMs });
    const end = () => child.kill();
    signal?.addEventListener('abort', end, { once: true });
    const [chunks, words]: [Buffer[], Buffer[]] = [[], []];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => words.push(chunk));
    const failed = (why: string, cause?: unknown) =>
      reject(new SandwardenError('ERR_COMMAND_FAILED', `tar failed: ${why}`, { hint: 'Install tar.', cause }));
    child.on('error', (error) => failed(error.message, error));
    child.on('close', (code) => {
      signal?.removeEventListener('abort', end);
      if (signal?.aborted) reject(signal.reason);
      else if (code === 0) resolve(Buffer.concat(chunks));
      else failed(Buffer.concat(words).toString('utf8').slice(0, 300));
    });
  });
}
