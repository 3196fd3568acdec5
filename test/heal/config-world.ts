import { sha256Of } from '../../src/heal/backups.ts';
import type { DumpAnswer, FileNow, FileToBe, NodeChanges } from '../../src/heal/node-changes.ts';
import { SandwardenError } from '../../src/model/errors.ts';
import type { Action, FileStep, FilesGuard, Plan } from '../../src/model/plan.ts';
import type { HandlerSettings } from '../../src/model/runtime-config.ts';
import { SimWorld } from './sim-world.ts';

export interface SimFile {
  readonly text: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

export const runtimeUnit = 'containerd.service';
export const kubeletUnit = 'kubelet.service';
export const orderFile = '/etc/systemd/system/containerd.service.d/50-sandwarden-order.conf';

/**
 * A node whose runtime is configured by the files under /etc/containerd: SystemdCgroup is on where each of them says
 * `on`; one that says `BROKEN` is refused. systemd orders the runtime by the files under /etc/systemd.
 */
export class ConfigWorld extends SimWorld {
  files = new Map<string, SimFile>();
  folders = new Set(['/etc', '/etc/containerd', '/etc/systemd', '/etc/systemd/system']);
  /** Of a write that was cut off. */
  drafts = new Set<string>();
  live = false;
  /** The runtime was restarted since kubelet was. */
  kubeletStale = false;
  /** What the plan writes, by path; a path of which nothing stands there makes its folder too. */
  wanted = new Map<string, string>();
  isOrderWanted = false;
  ordered = '';
  readonly properties = new Map<string, string>();
  readonly held = new Set<string>();
  restarts: string[] = [];
  /** Set by a test: whether an intent for this path is durable now. */
  isWriteIntended: (path: string) => Promise<boolean> = () => Promise.resolve(true);

  put(path: string, text: string, mode = 0o644, uid = 0, gid = 0): void {
    this.files.set(path, { text, mode, uid, gid });
    this.folders.add(path.slice(0, path.lastIndexOf('/')));
  }

  /** Everything that stands there, as a text to be compared. */
  tree(): string {
    const files = [...this.files].map(([path, { text, mode, uid, gid }]) => `${path} ${mode} ${uid}:${gid} ${text}`);
    return [...files, ...this.folders, ...this.drafts].sort().join('\n');
  }

  override plan(): Plan {
    const rest = super.plan();
    const order = this.isOrderWanted && !this.files.has(orderFile) ? [this.#write('order-unit', [orderFile])] : [];
    return { ...rest, actions: [...rest.actions, ...order, ...this.#config()] };
  }

  override async restartUnit(unit: string): Promise<void> {
    await this.touch('restart', unit);
    if (!(await this.isIntended(unit))) this.violations.push(`restarted ${unit} without an intent`);
    this.restarts.push(unit);
    if (unit === kubeletUnit) {
      this.identity = { ...this.identity, kubeletPid: (this.identity.kubeletPid ?? 0) + 1 };
      this.kubeletStale = false;
      return;
    }
    if ('refusal' in this.#dump()) this.violations.push('restarted with files that it refuses');
    const runtimePid = (this.identity.runtimePid ?? 0) + 1;
    this.identity = { ...this.identity, runtimePid, runtimeStartedUptimeNs: this.clock.uptimeNs() };
    this.live = this.#isOn();
    this.kubeletStale = true;
  }

  readonly changes: NodeChanges = {
    fileNow: async (path) => {
      await this.touch('file', path);
      return this.#fileNow(path);
    },
    replaceFile: async (path, to, folders) => {
      await this.#intended('replace', path);
      for (const each of folders) this.folders.add(each);
      this.drafts.add(path);
      await this.touch('rename', path);
      this.drafts.delete(path);
      this.#place(path, to);
      await this.touch('replaced', path);
    },
    removeFolders: async (folders) => {
      await this.touch('rmdir', folders.join());
      const isFull = (folder: string) =>
        [...this.files.keys(), ...this.folders].some((at) => at.startsWith(`${folder}/`));
      for (const each of folders.toReversed()) if (!isFull(each)) this.folders.delete(each);
    },
    sweep: async (path) => {
      await this.touch('sweep', path);
      this.drafts.delete(path);
    },
    dumpConfig: async (file) => {
      await this.touch('dump', file);
      return this.#dump();
    },
    reloadUnits: async () => {
      await this.touch('reload', '');
      this.ordered = /^After=(.*)$/m.exec(this.files.get(orderFile)?.text ?? '')?.[1] ?? '';
    },
    readProperty: async (unit, name) => {
      await this.touch('show', unit);
      return name === 'After' ? `basic.target ${this.ordered}` : (this.properties.get(`${unit} ${name}`) ?? '');
    },
    setProperty: async (unit, name, value) => {
      await this.touch('set-property', unit);
      this.properties.set(`${unit} ${name}`, value);
    },
    canAnchor: () => Promise.resolve(true),
    isHeld: async (slice) => {
      await this.touch('is-held', slice);
      return this.held.has(slice);
    },
    holdSlice: async (slice) => {
      await this.touch('hold', slice);
      if (!(await this.isIntended(slice))) this.violations.push(`held ${slice} without an intent`);
      this.held.add(slice);
    },
    releaseSlice: async (slice) => {
      await this.touch('release', slice);
      this.held.delete(slice);
    },
    handlersInForce: () => Promise.resolve(this.#settings(this.live)),
    unitOf: () => Promise.resolve(kubeletUnit),
    cpus: () => Promise.resolve('0-3'),
  };

  #config(): Action[] {
    const todo = [...this.wanted.keys()].filter((path) => this.files.get(path)?.text !== this.wanted.get(path));
    const restarts = [restartOf('restart-runtime', runtimeUnit, ['runc']), restartOf('restart-kubelet', kubeletUnit)];
    if (todo.length > 0) return [this.#write('write-config', todo), ...restarts];
    if (this.wanted.size > 0 && !this.live) return restarts;
    return this.kubeletStale ? restarts.slice(1) : [];
  }

  #write(kind: 'write-config' | 'order-unit', paths: readonly string[]): Action {
    const textOf = (path: string) =>
      (kind === 'order-unit' ? '[Unit]\nAfter=writer.service\n' : this.wanted.get(path)) ?? '';
    const isOrder = kind === 'order-unit';
    const guard: FilesGuard = {
      kind,
      files: paths.map((path) => this.#step(path, textOf(path))),
      restarts: isOrder ? [] : [runtimeUnit, kubeletUnit],
      ...(isOrder
        ? { reload: { unit: runtimeUnit, after: ['writer.service'] } }
        : { dump: { file: '/etc/containerd/config.toml', on: ['runc'] } }),
    };
    return {
      kind,
      target: paths[0] ?? '',
      object: paths.join(', '),
      code: isOrder ? 'SW507' : 'SW503',
      ...words,
      guard,
      contents: new Map(paths.map((path) => [path, textOf(path)])),
    };
  }

  #step(path: string, text: string): FileStep {
    const now = this.#fileNow(path);
    const sha256 = sha256Of(text);
    if (now.kind === 'file') return { path, before: now.identity, after: { ...now.identity, sha256 }, folders: [] };
    return { path, after: { sha256, mode: 0o644, uid: 0, gid: 0 }, folders: now.kind === 'nothing' ? now.missing : [] };
  }

  #fileNow(path: string): FileNow {
    const file = this.files.get(path);
    if (file === undefined) {
      const folder = path.slice(0, path.lastIndexOf('/'));
      return { kind: 'nothing', missing: this.folders.has(folder) ? [] : [folder] };
    }
    const { text, mode, uid, gid } = file;
    return { kind: 'file', content: Buffer.from(text), identity: { sha256: sha256Of(text), mode, uid, gid } };
  }

  #place(path: string, to: FileToBe | undefined): void {
    if (to === undefined) this.files.delete(path);
    else this.put(path, to.content.toString('utf8'), to.mode, to.uid, to.gid);
  }

  async #intended(call: string, path: string): Promise<void> {
    await this.touch(call, path);
    if (!(await this.isWriteIntended(path))) this.violations.push(`${call} of ${path} without a durable intent`);
  }

  #dump(): DumpAnswer {
    const texts = this.#configTexts();
    if (texts.some((text) => text.includes('BROKEN'))) return { refusal: 'it is no valid TOML' };
    return { settings: this.#settings(this.#isOn()) };
  }

  #isOn(): boolean {
    return this.#configTexts().every((text) => text.includes('on'));
  }

  #configTexts(): string[] {
    return [...this.files].filter(([path]) => path.startsWith('/etc/containerd/')).map(([, { text }]) => text);
  }

  #settings(systemdCgroup: boolean): HandlerSettings {
    return { handlers: [{ name: 'runc', systemdCgroup }], defaultHandler: 'runc' };
  }
}

const words = {
  tier: 'disruptive',
  reason: 'it is off',
  precondition: 'as it was read',
  expects: 'it is on',
} as const;

function restartOf(kind: 'restart-runtime' | 'restart-kubelet', unit: string, on?: readonly string[]): Action {
  const guard = { kind, unit, ...(on === undefined ? {} : { on }) };
  return { kind, target: unit, object: unit, code: 'SW503', ...words, guard };
}

export function holdOf(slice: string): Action {
  const guard = { kind: 'hold-slice', slice } as const;
  return { kind: 'hold-slice', target: slice, object: slice, code: 'SW508', ...words, guard };
}

export function cpusOf(unit: string): Action {
  const guard = { kind: 'set-allowed-cpus', unit, before: '', after: '0-3' } as const;
  return { kind: 'set-allowed-cpus', target: unit, object: unit, code: 'SW508', ...words, guard };
}

/** An error of systemd's or the disk's, as the real world gives it. */
export function failure(message: string): SandwardenError {
  return new SandwardenError('ERR_COMMAND_FAILED', message, { hint: 'simulated' });
}
