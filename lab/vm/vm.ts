import { appendFile, copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { PodSpec } from '../../src/embedded/pod-spec.ts';
import { Agent } from './agent.ts';
import { type ClockSetting, clockDate } from './clock.ts';
import type { GuestFile, GuestLink } from './cpio.ts';
import { type GuestContent, layoutFiles, toGuestFiles } from './files.ts';
import type { ImageName } from './image.ts';
import { filesArchive } from './initrd.ts';
import { type Accelerator, agentSocket, type Machine, overlay, powerOn } from './machine.ts';
import { type Platform, platform } from './platform.ts';
import { cacheDir } from './toolbox.ts';
import { makeWorkdir, removeWorkdir, sweepWorkdirs } from './workdir.ts';

export interface VmOptions {
  /** An image, or another machine that is off: then it begins with a copy of that one's disk. */
  readonly image: ImageName | Vm;
  /** Who runs the pods: containerd and kubelet as services (the default), or k3s. */
  readonly layout?: 'kubelet' | 'k3s';
  /** Pods of the kubelet stand-in; without any it is not started. */
  readonly pods?: readonly PodSpec[];
  /** The version whose choices the stand-in makes; default `v1.34.9`. */
  readonly kubelet?: string;
  /** Files that are there before the first boot. */
  readonly files?: Readonly<Record<string, GuestContent>>;
  readonly memoryMb?: number;
  /** Added to the kernel's command line at every boot. */
  readonly kernelArgs?: readonly string[];
  /** Hears what takes minutes (making an image); default: standard error. */
  readonly say?: (line: string) => void;
}

export interface BootOptions {
  readonly clock?: ClockSetting;
  /** Time synchronisation comes this long after the shell: the clock is set to this machine's. */
  readonly sync?: { readonly afterMs: number };
  /** How long it may take to the shell. */
  readonly timeoutMs?: number;
}

export interface Boot {
  /** From power-on to the first answer of the guest's shell. */
  readonly shellMs: number;
  readonly accelerator: Accelerator;
}

export interface RunOptions {
  /** The guest kills the command after this time (default 60 s); then `run` throws. */
  readonly timeoutMs?: number;
  readonly input?: string | Uint8Array;
}

export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const limits = { bootMs: 180_000, runMs: 60_000, powerOffMs: 150_000 } as const;

/** What `timeout` of coreutils exits with when it ended the command. */
const timedOutCodes = [124, 137];

/** A virtual machine whose power can be cut. Every wait has a deadline and says on failure where the console log is. */
export class Vm implements AsyncDisposable {
  readonly #platform: Platform;
  readonly #options: VmOptions;
  readonly #dir: string;
  #files: (GuestFile | GuestLink)[];
  #on: { readonly machine: Machine; readonly agent: Agent } | undefined;
  #syncTimer: NodeJS.Timeout | undefined;
  #boots = 0;
  #failed = false;
  #closed = false;

  private constructor(what: Platform, options: VmOptions, dir: string, files: (GuestFile | GuestLink)[]) {
    this.#platform = what;
    this.#options = options;
    this.#dir = dir;
    this.#files = files;
  }

  /** Makes a machine, off, with a disk of its own. Makes the image first where it is not cached (minutes). */
  static async create(options: VmOptions): Promise<Vm> {
    await sweepWorkdirs();
    const say = options.say ?? ((line: string) => void process.stderr.write(`vm: ${line}\n`));
    const { image } = options;
    const what = image instanceof Vm ? image.#platform : await platform(image, say);
    if (image instanceof Vm && image.#on) throw new Error('only the disk of a machine that is off can be copied');
    const dir = await makeWorkdir();
    try {
      const disk = join(dir, 'disk.qcow2');
      // The original may be booted again while the copy lives, so its disk is copied, not referred to.
      if (image instanceof Vm) await copyFile(image.#disk, disk);
      else await overlay(what.emulator, what.image.disk, disk);
      const fresh = image instanceof Vm ? [] : await layoutFiles(options);
      return new Vm(what, options, dir, [...fresh, ...(await toGuestFiles(options.files ?? {}))]);
    } catch (error) {
      await removeWorkdir(dir);
      throw error;
    }
  }

  /** `kvm` or `tcg`. */
  get accelerator(): Accelerator {
    return this.#platform.accelerator;
  }

  get isOn(): boolean {
    return this.#on !== undefined && !this.#on.machine.isGone();
  }

  /** Where the serial console's text is; all boots of this machine in one file. */
  get consoleLog(): string {
    return join(this.#dir, 'console.log');
  }

  /** Powers it on and waits for a shell. */
  async boot(options: BootOptions = {}): Promise<Boot> {
    if (this.#closed || this.isOn)
      throw new Error(this.#closed ? 'the machine is closed' : 'the machine is on already');
    await this.#off(new Error('the machine is off'));
    const started = performance.now();
    const clock = clockDate(options.clock ?? 'now');
    this.#boots += 1;
    await appendFile(this.consoleLog, `--- boot ${this.#boots}, clock ${clock.toISOString()}\n`);
    const initrd = await this.#initrd();
    const agent = await Agent.listen(agentSocket(this.#dir));
    const { emulator, accelerator, image } = this.#platform;
    const machine = await powerOn({
      ...{ emulator, accelerator, kernel: image.kernel, initrd, clock, dir: this.#dir },
      disk: { path: this.#disk, format: 'qcow2' },
      memoryMb: this.#options.memoryMb ?? 1024,
      console: { file: this.consoleLog },
      // Nobody logs in on the console: its text is for people who look for why.
      kernelArgs: ['systemd.mask=serial-getty@ttyS0.service', ...(this.#options.kernelArgs ?? [])],
    });
    this.#on = { machine, agent };
    machine.gone.then(() => agent.close(new Error('the machine went off'))).catch(() => {});
    try {
      await this.#within('a shell', options.timeoutMs ?? limits.bootMs, agent.greeted());
    } catch (error) {
      const words = await machine.words();
      await this.#off(new Error('the machine did not boot'));
      throw await this.#failure(
        `${message(error)}${words.trim() ? `; the emulator says: ${words.trim()}` : ''}`,
        error,
      );
    }
    this.#files = [];
    if (options.sync) this.#syncLater(options.sync.afterMs);
    return { shellMs: Math.round(performance.now() - started), accelerator };
  }

  /** Runs a shell script, or a command by its arguments, and gives what it gave; only a time-out throws. */
  async run(command: string | readonly string[], options: RunOptions = {}): Promise<RunResult> {
    const { code, stdout, stderr } = await this.#command(command, options);
    return { code, stdout: stdout.toString('utf8'), stderr: stderr.toString('utf8') };
  }

  /** The standard output of a command that must succeed. */
  async out(command: string | readonly string[], options: RunOptions = {}): Promise<string> {
    const { code, stdout, stderr } = await this.run(command, options);
    if (code !== 0)
      throw await this.#failure(`'${shown(command)}' ended with ${code}: ${stderr.trim() || stdout.trim()}`);
    return stdout;
  }

  /** Writes a file (and the folders above it). On a machine that is off: before its next boot. */
  async put(path: string, content: GuestContent): Promise<void> {
    const files = await toGuestFiles({ [path]: content });
    if (!this.isOn) {
      this.#files.push(...files);
      return;
    }
    for (const file of files) {
      const [folder, to] = [quote(path.slice(0, path.lastIndexOf('/')) || '/'), quote(path)];
      if ('link' in file) await this.out(`mkdir -p ${folder} && ln -sfn ${quote(file.link)} ${to}`);
      else
        await this.out(`mkdir -p ${folder} && cat >${to} && chmod ${file.mode.toString(8)} ${to}`, {
          input: file.data,
        });
    }
  }

  /** The bytes of a file. */
  async get(path: string): Promise<Buffer> {
    const { code, stdout, stderr } = await this.#command(['cat', path], {});
    if (code !== 0) throw await this.#failure(`${path} cannot be read: ${stderr.toString('utf8').trim()}`);
    return stdout;
  }

  /** Cuts the power (SIGKILL to the emulator). What the guest did not flush is lost; `syncFirst` flushes all. */
  async cutPower(options: { readonly syncFirst?: boolean } = {}): Promise<void> {
    if (!this.isOn) throw new Error('the machine is off already');
    if (options.syncFirst) await this.out(['sync']);
    await this.#off(new Error('the power was cut'));
  }

  /** Shuts it down cleanly and waits until it is off. */
  async shutDown(): Promise<void> {
    await this.#leave('poweroff');
  }

  /** A clean reboot; the options are those of the boot that follows. */
  async reboot(options: BootOptions = {}): Promise<Boot> {
    await this.#leave('reboot');
    return this.boot(options);
  }

  /** What time synchronisation does: the clock becomes this machine's and timesyncd's mark appears. */
  async syncClock(): Promise<void> {
    const mark = '/run/systemd/timesync';
    await this.out(
      `date -u -s @${(Date.now() / 1_000).toFixed(3)} >/dev/null && mkdir -p ${mark} && touch ${mark}/synchronized`,
    );
  }

  /** Polls until `condition` gives something other than undefined, null or false, and gives that. */
  async waitFor<T>(
    description: string,
    condition: () => Promise<T | undefined | null | false>,
    options: { readonly timeoutMs?: number; readonly everyMs?: number } = {},
  ): Promise<T> {
    const { timeoutMs = limits.runMs, everyMs = 500 } = options;
    const end = performance.now() + timeoutMs;
    for (;;) {
      const value = await condition();
      if (value !== undefined && value !== null && value !== false) return value;
      if (performance.now() > end) throw await this.#failure(`waited ${timeoutMs} ms in vain: ${description}`);
      await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
  }

  /** The id of the boot that runs. */
  async bootId(): Promise<string> {
    return (await this.out(['cat', '/proc/sys/kernel/random/boot_id'])).trim();
  }

  /**
   * The messages of a unit (or of everything), oldest first: of this boot, or of the one with this id. Boots are not
   * counted backwards here: journalctl orders them by their dates, and clocks are wrong on purpose.
   */
  async journal(unit?: string, options: { readonly bootId?: string } = {}): Promise<string[]> {
    const boot = options.bootId?.replaceAll('-', '') ?? '0';
    const args = [
      'journalctl',
      '-q',
      '--no-pager',
      '-o',
      'cat',
      '-b',
      boot,
      ...(unit === undefined ? [] : ['-u', unit]),
    ];
    return (await this.out(args)).split('\n').filter(Boolean);
  }

  /** Says that a test failed: `close` then keeps the console log, and the journal where the guest still answers. */
  async blame(): Promise<void> {
    this.#failed = true;
    if (!this.isOn) return;
    const tail = 'journalctl -b --no-pager -o short-precise | tail -n 3000';
    const journal = await this.run(tail, { timeoutMs: 60_000 }).catch((error: unknown) => ({ stdout: message(error) }));
    await appendFile(this.consoleLog, `\n--- journal of boot ${this.#boots}\n${journal.stdout}\n`);
  }

  /** Ends it and removes everything; the console log is kept where something failed, and its place said. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#off(new Error('the machine was closed'));
    if (this.#failed) await this.#keepLog();
    await removeWorkdir(this.#dir);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  get #disk(): string {
    return join(this.#dir, 'disk.qcow2');
  }

  async #initrd(): Promise<string> {
    const { initrd } = this.#platform.image;
    if (this.#files.length === 0) return initrd;
    const path = join(this.#dir, 'initrd');
    await writeFile(path, Buffer.concat([await readFile(initrd), filesArchive(this.#files)]));
    return path;
  }

  async #command(command: string | readonly string[], options: RunOptions) {
    const script = typeof command === 'string' ? command : `exec ${command.map(quote).join(' ')}`;
    const on = this.#on;
    if (!on) throw new Error('the machine is off');
    const { timeoutMs = limits.runMs, input } = options;
    const started = performance.now();
    const bytes = typeof input === 'string' ? Buffer.from(input) : input;
    const result = await on.agent.run({ script, timeoutMs, ...(bytes ? { input: bytes } : {}) });
    if (timedOutCodes.includes(result.code) && performance.now() - started >= timeoutMs) {
      throw await this.#failure(`'${shown(command)}' did not end within ${timeoutMs} ms`);
    }
    return result;
  }

  async #leave(how: 'poweroff' | 'reboot'): Promise<void> {
    const on = this.#on;
    if (!on || !this.isOn) throw new Error('the machine is off');
    // The guest may be gone before it answers.
    on.agent.run({ script: `systemctl --no-block ${how}`, timeoutMs: limits.runMs }).catch(() => {});
    await this.#within(`the machine is off after ${how}`, limits.powerOffMs, on.machine.gone);
    await this.#off(new Error('the machine is off'));
  }

  #syncLater(afterMs: number): void {
    this.#syncTimer = setTimeout(() => {
      // Where the power is cut before, no synchronisation comes.
      this.syncClock().catch(() => {});
    }, afterMs);
  }

  async #off(reason: Error): Promise<void> {
    clearTimeout(this.#syncTimer);
    const on = this.#on;
    this.#on = undefined;
    if (!on) return;
    await on.machine.kill();
    await on.agent.close(reason);
    await rm(agentSocket(this.#dir), { force: true });
  }

  async #within<T>(what: string, timeoutMs: number, work: Promise<T>): Promise<T> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => late.reject(new Error(`waited ${timeoutMs} ms in vain: ${what}`)), timeoutMs);
    try {
      return await Promise.race([work, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #failure(text: string, cause?: unknown): Promise<Error> {
    this.#failed = true;
    return new Error(`${text} (console: ${this.#keptLog})`, { cause });
  }

  get #keptLog(): string {
    return join(cacheDir, 'logs', `${basename(this.#dir)}.log`);
  }

  async #keepLog(): Promise<void> {
    await mkdir(join(cacheDir, 'logs'), { recursive: true });
    await copyFile(this.consoleLog, this.#keptLog);
    process.stderr.write(`vm: the console log is kept in ${this.#keptLog}\n`);
  }
}

/** Makes a machine for `body` and closes it after; where `body` throws, console and journal are kept. */
export async function withVm<T>(options: VmOptions, body: (vm: Vm) => Promise<T>): Promise<T> {
  await using vm = await Vm.create(options);
  try {
    return await body(vm);
  } catch (error) {
    await vm.blame();
    throw error;
  }
}

/** One argument for a POSIX shell. */
function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

function shown(command: string | readonly string[]): string {
  return (typeof command === 'string' ? command : command.join(' ')).trim().slice(0, 200);
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
