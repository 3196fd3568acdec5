import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { diagnose } from '../diagnose/diagnose.ts';
import { readJournal } from '../heal/journal.ts';
import { gatherMaterial } from '../heal/material.ts';
import { onceSettled } from '../heal/passing.ts';
import { makePlan, type PlanOptions } from '../heal/plan.ts';
import type { Look } from '../heal/ports.ts';
import { defaultStateDir, journalStore, openStateDir } from '../heal/state-dir.ts';
import { SandwardenError } from '../model/errors.ts';
import type { Args } from './frame/command.ts';
import type { Io } from './frame/io.ts';
import type { Patient } from './healing.ts';
import { credentialsOf, openEyes } from './look.ts';
import { lookedAtSentence } from './render/looked-at.ts';
import { storageOverKube } from './storage-world.ts';
import { worldOverCri } from './world.ts';

/**
 * This node, looked at once and ready to be healed. Throws what made the look blind (ERR_SOCKET_*,
 * ERR_RUNTIME_NOT_READY),
 * because nothing can be healed then.
 */
export async function openNode(args: Args, env: Io['env'], options: PlanOptions): Promise<Patient & AsyncDisposable> {
  const eyes = await openEyes(args, env);
  try {
    const { runtime } = eyes;
    const directory = args.value('state-dir') ?? defaultStateDir;
    const readEntries = async () => (await readJournal(journalStore(directory))).entries;
    const lookAgain = async (): Promise<Look> => {
      const snapshot = await eyes.look();
      const listedUptimeNs = eyes.clock.uptimeNs();
      const material = changes && (await gatherMaterial(snapshot, changes, await readEntries()));
      return { snapshot, diagnosis: diagnose(snapshot), plan: makePlan(snapshot, options, material), listedUptimeNs };
    };
    const storage = storageOverKube({ ...credentialsOf(args, env), hostname: hostname() });
    const parts = { clock: eyes.clock, lookAgain, storage };
    const world = runtime && worldOverCri({ cri: runtime.cri, endpoint: runtime.info.endpoint, ...parts });
    const changes = world?.changes;
    const look = await onceSettled(lookAgain, eyes.clock);
    if (!look.snapshot.sandboxes.known || world === undefined) throw blind(look);
    return {
      look,
      world,
      bootId: (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim(),
      readJournal: readEntries,
      openState: () => openStateDir(directory),
      [Symbol.asyncDispose]: async () => {
        storage.close();
        await eyes[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await eyes[Symbol.asyncDispose]();
    throw error;
  }
}

/** Why the sandboxes could not be listed, as an error. */
function blind({ snapshot: { sandboxes, runtime }, diagnosis }: Look): SandwardenError {
  const cause = [sandboxes, runtime].find((each) => !each.known);
  if (!cause || cause.known || cause.code === 'ERR_NOT_ASKED') {
    // No socket was found, and a moment later there was one.
    return new SandwardenError('ERR_RUNTIME_NOT_READY', 'the container runtime came up during the look', {
      hint: "Run 'sandwarden heal' again.",
    });
  }
  const choice = lookedAtSentence(diagnosis.lookedAt);
  const hint = choice === undefined ? cause.hint : `${cause.hint} ${choice}`;
  return new SandwardenError(cause.code, cause.message, { hint });
}
