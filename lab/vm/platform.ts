import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { hasCode } from '../run.ts';
import { Agent } from './agent.ts';
import { cpio } from './cpio.ts';
import { ensureImage, type Image, type ImageName } from './image.ts';
import { type Accelerator, agentSocket, kvmIsThere, powerOn } from './machine.ts';
import { cacheDir, type Emulator, emulator } from './toolbox.ts';
import { makeWorkdir, removeWorkdir } from './workdir.ts';

/** Everything that a machine needs of this one. */
export interface Platform {
  readonly emulator: Emulator;
  readonly accelerator: Accelerator;
  readonly image: Image;
}

const bakeTimeoutMs = 300_000;
const kvmProbeMs = 8_000;

/** Makes what is missing (minutes, once) and gives it. `say` hears what takes long. */
export async function platform(name: ImageName, say: (line: string) => void): Promise<Platform> {
  const qemu = await emulator(say);
  const image = await ensureImage(name, (fresh, script) => bake(qemu, fresh, script), say);
  return { emulator: qemu, image, accelerator: await accelerator(qemu, image) };
}

/** A first boot on the disk itself; the machine is powered off cleanly. Always emulated: that works everywhere. */
async function bake(qemu: Emulator, image: Image, script: string): Promise<void> {
  const dir = await makeWorkdir();
  const console = join(dir, 'console.log');
  const agent = await Agent.listen(agentSocket(dir));
  try {
    const { kernel, initrd, disk } = image;
    const parts = { emulator: qemu, kernel, initrd, disk, dir, memoryMb: 1024, clock: new Date() };
    const machine = await powerOn({ ...parts, accelerator: 'tcg', console: { file: console } });
    const late = setTimeout(() => void machine.kill(), bakeTimeoutMs);
    try {
      const { code, stderr } = await agent.run({ script, timeoutMs: bakeTimeoutMs });
      if (code !== 0) throw new Error(`the first boot of the image failed: ${stderr}`);
      agent.run({ script: 'systemctl --no-block poweroff', timeoutMs: 30_000 }).catch(() => {});
      await machine.gone;
    } catch (error) {
      const text = await readFile(console, 'utf8').catch(() => '');
      throw new Error(`${error}\n${text.slice(-4_000)}\n${await machine.words()}`, { cause: error });
    } finally {
      clearTimeout(late);
      await machine.kill();
    }
  } finally {
    await agent.close(new Error('the machine is off'));
    await removeWorkdir(dir);
  }
}

/**
 * KVM where a guest really runs on it: some nested hosts have the device and cannot run a kernel. Remembered per host.
 */
async function accelerator(qemu: Emulator, image: Image): Promise<Accelerator> {
  const forced = process.env.SANDWARDEN_VM_ACCEL;
  if (forced === 'kvm' || forced === 'tcg') return forced;
  if (!kvmIsThere()) return 'tcg';
  const host = JSON.stringify([release(), cpus()[0]?.model, qemu.version, image.kernel]);
  const memory = join(cacheDir, `accelerator-${createHash('sha256').update(host).digest('hex').slice(0, 16)}`);
  const known = await readFile(memory, 'utf8').catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return '';
    throw error;
  });
  if (known === 'kvm' || known === 'tcg') return known;
  const found = (await kvmRuns(qemu, image)) ? 'kvm' : 'tcg';
  await mkdir(cacheDir, { recursive: true });
  await writeFile(memory, found);
  return found;
}

/** Boots the kernel into a script that says a word and ends. */
async function kvmRuns(qemu: Emulator, image: Image): Promise<boolean> {
  const dir = await makeWorkdir();
  try {
    const initrd = join(dir, 'initrd');
    const console = join(dir, 'console.log');
    const word = 'SANDWARDEN-KVM-RUNS';
    const init = { path: 'init', data: Buffer.from(`#!/bin/busybox sh\necho ${word}\n`), mode: 0o755 };
    // A later archive replaces a file of an earlier one.
    await writeFile(initrd, Buffer.concat([await readFile(image.initrd), cpio([init])]));
    const parts = { emulator: qemu, kernel: image.kernel, initrd, dir, memoryMb: 512, clock: new Date() };
    const machine = await powerOn({ ...parts, accelerator: 'kvm', console: { file: console } });
    const late = setTimeout(() => void machine.kill(), kvmProbeMs);
    await machine.gone;
    clearTimeout(late);
    return (await readFile(console, 'utf8')).includes(word);
  } finally {
    await removeWorkdir(dir);
  }
}
