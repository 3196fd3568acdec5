import { connectCri } from '../cri/connect.ts';
import { diagnose } from '../diagnose/diagnose.ts';
import { readJournal } from '../heal/journal.ts';
import type { Look } from '../heal/ports.ts';
import { defaultStateDir, journalStore, openStateDir } from '../heal/state-dir.ts';
import { planUndo } from '../heal/undo.ts';
import { type ExitCode, SandwardenError } from '../model/errors.ts';
import type { Args } from './frame/command.ts';
import type { Io } from './frame/io.ts';
import { healNode } from './healing.ts';
import { openEyes } from './look.ts';
import { worldOverCri } from './world.ts';

/** Where the runtime is to answer when it is down and nothing names its socket. */
const usualEndpoint = 'unix:///run/containerd/containerd.sock';

/**
 * `sandwarden heal --undo ID`. It needs no runtime that answers: what it takes back may be why that does not come up.
 * Throws ERR_USAGE, ERR_JOURNAL_DAMAGED, ERR_FILE, ERR_FORBIDDEN.
 */
export async function undoRun(id: string, args: Args, io: Io): Promise<ExitCode> {
  const other = ['only', 'allow'].find((name) => args.values(name).length > 0);
  if (other !== undefined) {
    throw new SandwardenError('ERR_USAGE', `'--undo' and '--${other}' contradict each other`, {
      hint: 'A run is taken back whole.',
    });
  }
  const directory = args.value('state-dir') ?? defaultStateDir;
  const readEntries = async () => (await readJournal(journalStore(directory))).entries;
  const entries = await readEntries();
  const state = await openStateDir(directory);
  await using eyes = await openEyes(args, io.env);
  const endpoint = eyes.runtime?.info.endpoint ?? args.value('runtime-endpoint') ?? usualEndpoint;
  const cri = eyes.runtime?.cri ?? connectCri(endpoint);
  try {
    const lookAgain = (): Promise<Look> => Promise.reject(new Error('taking back needs no second look'));
    const world = worldOverCri({ cri, endpoint, clock: eyes.clock, lookAgain });
    const { changes } = world;
    if (changes === undefined) throw new Error('the real node can be changed');
    const { runId, plan } = await planUndo(entries, id, { changes, backups: state.backups }, state.bootId);
    const snapshot = await eyes.look();
    const look: Look = { snapshot, diagnosis: diagnose(snapshot), plan };
    const openState = () => Promise.resolve(state);
    const patient = { world, look, bootId: state.bootId, readJournal: readEntries, openState, undoes: runId };
    return await healNode(patient, { allow: ['safe', 'disruptive'], only: [] }, { args, io });
  } finally {
    if (eyes.runtime === undefined) cri.close();
  }
}
