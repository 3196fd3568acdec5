import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode, run } from '../run.ts';
import type { Emulator } from './toolbox.ts';

/** How the processor is had: `kvm` by the hardware, `tcg` in software. What a guest does is the same. */
export type Accelerator = 'kvm' | 'tcg';

/** One power-on of a machine. */
export interface PowerOn {
  readonly emulator: Emulator;
  readonly accelerator: Accelerator;
  readonly kernel: string;
  readonly initrd: string;
  /** A qcow2 or raw file; `diskFormat` says which. Undefined: a machine without a disk. */
  readonly disk?: { readonly path: string; readonly format: 'qcow2' | 'raw' };
  readonly memoryMb: number;
  /** What the real-time clock says at power-on. */
  readonly clock: Date;
  /** A folder of its own for sockets and the emulator's words. */
  readonly dir: string;
  /** Every byte of the serial console is appended here; `stdio` connects it to this terminal. */
  readonly console: { readonly file: string } | 'stdio';
  readonly kernelArgs?: readonly string[];
}

/** A running emulator. */
export interface Machine {
  readonly pid: number;
  /** Resolves when it is gone. */
  readonly gone: Promise<void>;
  isGone(): boolean;
  /** SIGKILL: the power is cut. Resolves when it is gone. */
  kill(): Promise<void>;
  /** What the emulator itself said (errors). */
  words(): Promise<string>;
}

/** The socket of the guest's agent in `dir`; the emulator connects to it at power-on. */
export function agentSocket(dir: string): string {
  return join(dir, 'agent.sock');
}

/** Powers a machine on. It dies with this process, whatever ends that (PR_SET_PDEATHSIG). */
export async function powerOn(options: PowerOn): Promise<Machine> {
  const [command = '', ...args] = ['setpriv', '--pdeathsig', 'KILL', ...emulatorArgs(options)];
  const wordsFile = join(options.dir, 'emulator.log');
  const log = openSync(wordsFile, 'w', 0o600);
  const onTerminal = options.console === 'stdio';
  let child: ChildProcess;
  try {
    child = spawn(command, args, { stdio: onTerminal ? 'inherit' : ['ignore', log, log] });
  } finally {
    closeSync(log);
  }
  await once(child, 'spawn');
  const gone = once(child, 'exit').then(() => {});
  const isGone = () => child.exitCode !== null || child.signalCode !== null;
  return {
    pid: child.pid ?? 0,
    gone,
    isGone,
    async kill() {
      child.kill('SIGKILL');
      await gone;
    },
    words: () => readFile(wordsFile, 'utf8'),
  };
}

function emulatorArgs(options: PowerOn): string[] {
  const { accelerator, disk } = options;
  const kernelArgs = [
    ...['console=ttyS0', 'root=/dev/vda', 'rw', 'quiet', 'panic=-1', 'mitigations=off', 'net.ifnames=0'],
    // The emulated counter is the host's: nothing need be measured, and no slower clock is ever chosen.
    ...['tsc=reliable', 'no_timer_check', 'cryptomgr.notests'],
  ];
  return [
    ...options.emulator.system,
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-machine', 'q35,usb=off,vmport=off', '-smp', '2', '-m', String(options.memoryMb)],
    // What newer models have (AVX, XSAVE, five-level page tables) costs emulated time: `max` needs half as much again.
    ...(accelerator === 'kvm'
      ? ['-accel', 'kvm', '-cpu', 'host']
      : ['-accel', 'tcg,thread=multi,tb-size=512', '-cpu', 'Nehalem,+rdrand']),
    ...['-rtc', `base=${options.clock.toISOString().slice(0, 19)}`],
    ...['-kernel', options.kernel, '-initrd', options.initrd],
    ...['-append', [...kernelArgs, ...(options.kernelArgs ?? [])].join(' ')],
    ...consoleArgs(options.console),
    // A flush of the guest reaches the file; what it did not flush may be lost with the emulator, as in a disk's cache.
    ...(disk ? ['-drive', `if=virtio,file=${comma(disk.path)},format=${disk.format},cache=writeback`] : []),
    ...['-device', 'virtio-rng-pci'],
    ...(disk ? agentArgs(options.dir) : []),
  ];
}

function consoleArgs(to: PowerOn['console']): string[] {
  if (to === 'stdio') return ['-serial', 'mon:stdio'];
  return ['-chardev', `file,id=console,path=${comma(to.file)},append=on`, '-serial', 'chardev:console'];
}

function agentArgs(dir: string): string[] {
  return [
    ...['-device', 'virtio-serial-pci', '-chardev', `socket,id=agent,path=${comma(agentSocket(dir))}`],
    ...['-device', 'virtserialport,chardev=agent,name=agent'],
  ];
}

/** QEMU's option parser doubles a comma. */
function comma(path: string): string {
  return path.replaceAll(',', ',,');
}

/** Makes `to` a copy-on-write copy of `from`, in some milliseconds. */
export async function overlay(emulator: Emulator, from: { path: string; format: string }, to: string): Promise<void> {
  const [command = '', ...args] = emulator.img;
  await run(command, [...args, 'create', '-q', '-f', 'qcow2', '-b', from.path, '-F', from.format, to]);
}

/** Whether /dev/kvm can be opened at all. */
export function kvmIsThere(): boolean {
  try {
    closeSync(openSync('/dev/kvm', 'r+'));
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'EACCES', 'EPERM', 'ENODEV', 'ENXIO')) return false;
    throw error;
  }
}
