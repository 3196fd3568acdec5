import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as readline from 'node:readline';
import { createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { Registration } from '../../src/cri/gen/pluginregistration/v1/registration_pb.js';
import { authority, UnixSession } from '../../src/cri/session.ts';

/** How a driver answers its Probe; `silent-about-it`: without the field, which means ready. */
export type ProbeMode = 'ready' | 'silent-about-it' | 'not-ready' | 'precondition' | 'broken' | 'hang';

/** A CSI driver of the laboratory, a process of its own. */
export interface LabDriver extends AsyncDisposable {
  readonly pid: number;
  readonly socket: string;
  readonly registration: string;
  /** Each thing it has said it did: `probed`, `asked-for-info`, `registered` … */
  readonly did: readonly string[];
  /** Resolves when its Probe answers so. */
  answer(mode: ProbeMode): Promise<void>;
  /** SIGKILL: the files of its sockets stay, and nobody listens there. */
  kill(): Promise<void>;
}

/** Starts a driver under a kubelet's root folder; resolves when both of its sockets accept connections. */
export async function startLabDriver(kubeletDir: string, name: string, folder = name): Promise<LabDriver> {
  const socket = join(kubeletDir, 'plugins', folder, 'csi.sock');
  const registration = join(kubeletDir, 'plugins_registry', `${name}-reg.sock`);
  await Promise.all([socket, registration].map((path) => mkdir(dirname(path), { recursive: true })));
  const program = join(import.meta.dirname, 'driver-process.ts');
  const child = spawn(process.execPath, ['--no-warnings', program, name, socket, registration], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const did: string[] = [];
  const waiting = new Map<string, () => void>();
  readline.createInterface({ input: child.stdout }).on('line', (line) => {
    did.push(line);
    waiting.get(line)?.();
  });
  const said = (line: string) => new Promise<void>((resolve) => void waiting.set(line, resolve));
  const ended = once(child, 'exit');
  await Promise.race([
    said('listening'),
    ended.then(() => Promise.reject(new Error(`the driver of ${socket} did not start`))),
  ]);
  const kill = () => killed(child, ended);
  return {
    pid: child.pid ?? 0,
    socket,
    registration,
    did,
    answer: async (mode) => {
      const heard = said(`mode ${mode}`);
      child.stdin.write(`${mode}\n`);
      await heard;
    },
    kill,
    [Symbol.asyncDispose]: kill,
  };
}

async function killed(child: ChildProcess, ended: Promise<unknown>): Promise<void> {
  child.kill('SIGKILL');
  await ended;
}

/** What kubelet does with a registration socket: GetInfo, then NotifyRegistrationStatus (operation_executor). */
export async function registerAsKubelet(path: string, timeoutMs = 1_000): Promise<{ name: string; endpoint: string }> {
  const session = new UnixSession(path, timeoutMs);
  try {
    const transport = createGrpcTransport({ baseUrl: authority, sessionManager: session, acceptCompression: [] });
    const client = createClient(Registration, transport);
    const { type, name, endpoint } = await client.getInfo({}, { timeoutMs });
    const fits = type === 'CSIPlugin';
    const error = fits ? '' : `no handler for plugin type ${type}`;
    await client.notifyRegistrationStatus({ pluginRegistered: fits, error }, { timeoutMs });
    return { name, endpoint };
  } finally {
    session.close();
  }
}
