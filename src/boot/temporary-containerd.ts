import { spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../model/clock.ts';
import { SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import { safeText } from '../model/safe-text.ts';
import { isErrno, isFile } from '../observe/read-file.ts';
import { runDir } from './record.ts';

export interface TemporaryContainerd {
  readonly endpoint: string;
  /** What removals need and is not there, in plain words; undefined where all is. */
  readonly lacks: string | undefined;
  /** Throws ERR_RUNTIME_NOT_READY with its last words where it has ended by itself. */
  check(): void;
  /** SIGTERM and waits: k3s' own containerd waits for the lock of meta.db without a word. SIGKILL when it is late. */
  stop(): Promise<void>;
}

export interface TemporaryOptions {
  /** k3s' or RKE2's data-dir. */
  readonly dataDir: string;
  /** k3s' own state directory: what still runs there is adopted. */
  readonly stateDir?: string;
  readonly socketDir?: string;
  readonly clock: Clock;
}

/**
 * k3s' own containerd over its own root, state and configuration (that of its last start), on a socket of ours, while
 * k3s is not running. Throws ERR_NOT_SUPPORTED where the binary or the configuration is not there (k3s never ran).
 * Source: k3s pkg/agent/containerd/containerd.go Run, pkg/agent/config/config_linux.go.
 */
export async function startTemporaryContainerd(options: TemporaryOptions): Promise<TemporaryContainerd> {
  const { dataDir, stateDir = '/run/k3s/containerd', socketDir = runDir, clock } = options;
  const agent = join(dataDir, 'agent');
  const config = join(agent, 'etc/containerd/config.toml');
  const folders = [join(dataDir, 'data/current/bin'), join(dataDir, 'bin')];
  const found = await Promise.all(folders.map((folder) => isFile(join(folder, 'containerd'))));
  const bin = folders[found.indexOf(true)];
  if (bin === undefined || !(await isFile(config))) {
    throw notHere(`k3s' containerd or its configuration is not in '${safeText(dataDir, 200)}'`);
  }
  const socket = join(socketDir, 'containerd.sock');
  const flags = ['-c', config, '-a', socket, '--state', stateDir, '--root', join(agent, 'containerd')];
  const child = spawn(join(bin, 'containerd'), flags, {
    cwd: '/',
    stdio: ['ignore', 'ignore', 'pipe'],
    // PATH: its shims and runc lie beside it (k3s: `bin` and `bin/aux`).
    env: { PATH: `${bin}:${join(bin, 'aux')}:/usr/sbin:/usr/bin:/sbin:/bin`, LC_ALL: 'C' },
  });
  let [said, end] = ['', ''];
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString('utf8')).slice(-limits.journalLineBytes);
  });
  const exited = new Promise<void>((resolve) => {
    child.once('error', (error) => {
      end = error.message;
      resolve();
    });
    child.once('exit', (code, signal) => {
      end ||= `exit ${code ?? signal}`;
      resolve();
    });
  });
  return {
    endpoint: `unix://${socket}`,
    lacks: await cniLack(join(agent, 'etc/cni/net.d')),
    check: () => {
      if (end === '') return;
      const words = said.split('\n').findLast((line) => /level=(?:fatal|error)/.test(line)) ?? said.trim();
      throw new SandwardenError('ERR_RUNTIME_NOT_READY', `the temporary containerd ended (${end}): ${last(words)}`, {
        hint: 'Nothing was healed before k3s; it is tried again after its start.',
      });
    },
    stop: async () => {
      const settled = new AbortController();
      child.kill('SIGTERM');
      const late = clock.sleep(limits.containerdStopMs, settled.signal).then(
        () => void child.kill('SIGKILL'),
        (error: unknown) => {
          if (!settled.signal.aborted) throw error;
        },
      );
      await exited;
      settled.abort();
      await late;
    },
  };
}

/** k3s writes its CNI configuration there and leaves it; without one no sandbox with a network can be removed. */
async function cniLack(folder: string): Promise<string | undefined> {
  const names = await listed(folder);
  if (names.some((name) => /\.conf(list)?$|\.json$/.test(name))) return undefined;
  return `no CNI configuration in ${folder}`;
}

async function listed(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isErrno(error)) return [];
    throw error;
  }
}

function last(words: string): string {
  return safeText(words, 300);
}

function notHere(message: string): SandwardenError {
  return new SandwardenError('ERR_NOT_SUPPORTED', message, {
    hint: 'It is healed right after the start of k3s; set data-dir in boot.conf where k3s has another one.',
  });
}
