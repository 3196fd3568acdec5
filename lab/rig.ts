import { randomBytes } from 'node:crypto';
import { access, mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectCri } from '../src/cri/connect.ts';
import type { CriRunner } from '../src/cri/types.ts';
import type { Rig } from '../src/embedded/rig.ts';
import { closeAtSignals } from './at-signals.ts';
import { type Cni, makeCni } from './cni.ts';
import { type Daemon, daemonEnvironment, lastFatal, layout, startDaemon } from './daemon.ts';
import { shiftDates } from './dates.ts';
import { configToml, type Flavour } from './flavours.ts';
import { type Installed, install, installed } from './install.ts';
import { environmentName, prefix, removeLeftovers, sweep } from './leftovers.ts';
import { type NodeSpace, startNodeSpace } from './node-space.ts';
import { identify } from './processes.ts';
import { copyContainerRecord } from './records.ts';
import { run, until } from './run.ts';

/** Deadlines of the laboratory's client, milliseconds: short, so that what hangs by intent costs little. */
export interface RealRigOptions {
  readonly readTimeoutMs?: number;
  readonly writeTimeoutMs?: number;
  /** containerd's file is written once: what somebody makes of it afterwards stays over starts. */
  readonly keepsConfig?: boolean;
}

const defaults = { readTimeoutMs: 10_000, writeTimeoutMs: 4_000, startTimeoutMs: 30_000, keepsConfig: false };

/** A rig as this machine sees it. */
export interface RealRig extends Rig {
  /** Its folder, for whoever wants to see that nothing stays behind. */
  readonly home: string;
  /** The command line prefix that starts a program on the node, whose /proc and /run are the node's; while it runs. */
  readonly enter: readonly string[];
}

/**
 * A real containerd of that version with its own root, state, socket, CNI plugin and cgroup, in a node space of its
 * own. It is not started. Throws an Error where the laboratory is not available (lab/available.ts says why).
 */
export async function realRig(flavour: Flavour, options: RealRigOptions = {}): Promise<RealRig> {
  await install([flavour]);
  const parts = await installed(flavour);
  if (!parts) throw new Error(`containerd ${flavour} is not installed`);
  await sweep();
  const home = await makeHome();
  const rig = new NamespacedRig(flavour, parts, home, await makeCni(layout(home).cni), { ...defaults, ...options });
  try {
    const started = await rig.start();
    if (!started.ok) throw new Error(`containerd ${parts.version} did not start: ${started.fatal}`);
    await rig.importImage();
    await rig.stop();
  } catch (error) {
    await rig.close();
    throw error;
  }
  return rig;
}

/** The folder's name says which process owns it (leftovers.ts). */
async function makeHome(): Promise<string> {
  const self = await identify(process.pid);
  const home = join(tmpdir(), `${prefix}${process.pid}-${self?.startTicks ?? '0'}-${randomBytes(4).toString('hex')}`);
  await mkdir(home, { mode: 0o700 });
  return home;
}

class NamespacedRig implements RealRig {
  readonly name: string;
  readonly flavour: Flavour;
  readonly home: string;
  readonly #parts: Installed;
  readonly #cni: Cni;
  readonly #options: Required<RealRigOptions> & { startTimeoutMs: number };
  readonly #env: NodeJS.ProcessEnv;
  readonly #forget: () => void;
  #space: NodeSpace | undefined;
  #daemon: Daemon | undefined;
  #cri: CriRunner | undefined;
  #closed: Promise<void> | undefined;

  constructor(
    flavour: Flavour,
    parts: Installed,
    home: string,
    cni: Cni,
    options: Required<RealRigOptions> & { startTimeoutMs: number },
  ) {
    this.name = `containerd ${parts.version}`;
    this.flavour = flavour;
    this.home = home;
    this.#parts = parts;
    this.#cni = cni;
    this.#options = options;
    this.#env = daemonEnvironment(parts.bin, { [environmentName]: home });
    this.#forget = closeAtSignals(() => this.close());
  }

  get cri(): CriRunner {
    if (!this.#cri) throw new Error(`${this.name} is not running`);
    return this.#cri;
  }

  get enter(): readonly string[] {
    if (!this.#space) throw new Error(`the node of ${this.name} is off`);
    return this.#space.enter;
  }

  cni(mode: Parameters<Rig['cni']>[0]): Promise<void> {
    return this.#cni.setMode(mode);
  }

  cniConfigured(present: boolean): Promise<void> {
    return this.#cni.setConfigured(present);
  }

  releaseHeld(): Promise<void> {
    return this.#cni.release();
  }

  cniCalls(): ReturnType<Rig['cniCalls']> {
    return this.#cni.calls();
  }

  async start(): Promise<{ ok: true } | { ok: false; fatal: string }> {
    if (this.#daemon) throw new Error(`${this.name} is running already`);
    const paths = layout(this.home);
    const daemon = await this.#spawn(paths.config, true);
    const cri = inOwnCgroup(connectCri(paths.socket, this.#options), this.home);
    const ready = await until('CRI answers', this.#options.startTimeoutMs, async () => {
      if (!daemon.isRunning()) return false;
      return cri.version().then(
        () => true,
        // Not yet: no socket, refused, or `server is not initialized yet`.
        () => undefined,
      );
    }).catch(async (error: unknown) => {
      await daemon.end('SIGKILL');
      throw error;
    });
    if (ready) {
      this.#cri = cri;
      return { ok: true };
    }
    cri.close();
    await daemon.exited;
    this.#daemon = undefined;
    return { ok: false, fatal: lastFatal(await daemon.log()) };
  }

  async stop(): Promise<void> {
    await this.#endDaemon('SIGTERM');
  }

  async killRuntime(): Promise<void> {
    await this.#endDaemon('SIGKILL');
  }

  async powerCut(): Promise<void> {
    this.#disconnect();
    const daemon = this.#daemon;
    await this.#space?.kill();
    await daemon?.exited;
    this.#space = undefined;
    this.#daemon = undefined;
    // The socket lies in /run on a real node; ours is outside, where the client reaches it.
    for (const suffix of ['', '.ttrpc']) await rm(layout(this.home).socket + suffix, { force: true });
  }

  async duplicateRecord(sandboxId: string): Promise<void> {
    this.#needStopped('duplicateRecord');
    const paths = layout(this.home);
    const daemon = await this.#spawn(paths.recordsConfig, false);
    const newId = randomBytes(32).toString('hex');
    try {
      await until('containerd without CRI answers', this.#options.startTimeoutMs, async () => {
        if (!daemon.isRunning()) throw new Error(`it exited: ${lastFatal(await daemon.log())}`);
        const asked = await run(join(this.#parts.bin, 'ctr'), ['-a', paths.socket, 'version'], { check: false });
        return asked.status === 0 ? true : undefined;
      });
      await copyContainerRecord(paths.socket, sandboxId, newId);
    } finally {
      await this.#endDaemon('SIGTERM');
    }
  }

  async shiftDates(seconds: number): Promise<void> {
    this.#needStopped('shiftDates');
    await shiftDates(layout(this.home).root, seconds);
  }

  /** The image for sandboxes and workloads; CRI is sure to know it after the next start. */
  async importImage(): Promise<void> {
    const address = ['-a', layout(this.home).socket, '-n', 'k8s.io'];
    await run(join(this.#parts.bin, 'ctr'), [...address, 'images', 'import', this.#parts.imageArchive]);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    try {
      await this.powerCut();
      await removeLeftovers(this.home);
    } finally {
      this.#forget();
    }
  }

  async #spawn(config: string, withCri: boolean): Promise<Daemon> {
    const paths = layout(this.home);
    const { bin, conf } = this.#cni;
    const files = { ...paths, cniBin: bin, cniConf: conf, runc: join(this.#parts.bin, 'runc') };
    const isKept = this.#options.keepsConfig && (await exists(config));
    if (!isKept) await writeFile(config, configToml(this.flavour, files, withCri));
    this.#space ??= await startNodeSpace(this.home, this.#env);
    this.#daemon = await startDaemon(this.#space, join(this.#parts.bin, 'containerd'), config, {
      logFile: paths.log,
      env: this.#env,
    });
    return this.#daemon;
  }

  async #endDaemon(name: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    this.#disconnect();
    await this.#daemon?.end(name);
    this.#daemon = undefined;
  }

  #disconnect(): void {
    this.#cri?.close();
    this.#cri = undefined;
  }

  #needStopped(what: string): void {
    if (this.#daemon) throw new Error(`${what} needs ${this.name} stopped`);
  }
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
}

/** All sandboxes go below one cgroup with the rig's name, so that it can be found and removed. */
export function inOwnCgroup(cri: CriRunner, home: string): CriRunner {
  const cgroupParent = `/${home.slice(home.lastIndexOf('/') + 1)}`;
  return {
    ...cri,
    runSandbox: (spec, timeoutMs) => cri.runSandbox({ ...spec, cgroupParent }, timeoutMs),
    createContainer: (spec) => cri.createContainer({ ...spec, sandbox: { ...spec.sandbox, cgroupParent } }),
  };
}
