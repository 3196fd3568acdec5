import { emulator, whyNoLaboratory } from '../../lab/vm/toolbox.ts';

/** Why the virtual machine cannot be had here, in words; undefined where it can. Says it once on stdout. */
export async function whyNoMachine(): Promise<string | undefined> {
  const why = (await whyNoLaboratory()) ?? (await whyNoEmulator());
  if (why !== undefined) process.stdout.write(`# skipped: ${why}\n`);
  return why;
}

async function whyNoEmulator(): Promise<string | undefined> {
  try {
    await emulator();
    return undefined;
  } catch (error) {
    return `QEMU of Debian cannot be had: ${error instanceof Error ? error.message : error}`;
  }
}
