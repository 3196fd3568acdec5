import type { Rig } from './rig.ts';
import type { Scenario } from './scenarios.ts';
import { type Entry, newTranscript } from './transcript.ts';

/** Runs one scenario on a fresh rig and gives its transcript; the rig is closed whatever happens. */
export async function runScenario(scenario: Scenario, open: () => Promise<Rig>): Promise<readonly Entry[]> {
  const { note, entries } = newTranscript();
  const rig = await open();
  try {
    await scenario.run(rig, note);
  } catch (error) {
    const seen = JSON.stringify(entries, null, 2);
    throw new Error(`${scenario.name} on ${rig.name} broke after ${seen}`, { cause: error });
  } finally {
    await rig.close();
  }
  return entries;
}
