/**
 * The embedded containerd against the real ones. Each scenario runs on a real containerd (where the laboratory is
 * available: root and Debian's packages), on the embedded one, and both transcripts must equal the recorded one in
 * golden/. So without root the embedded node is still held to what a real containerd did.
 *
 * SANDWARDEN_UPDATE_GOLDEN=1 records anew from the real one. SANDWARDEN_SKIP_REAL=1 leaves it out.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { labAvailable } from '../../lab/available.ts';
import { allFlavours, type Flavour } from '../../lab/flavours.ts';
import { realRig } from '../../lab/rig.ts';
import { embeddedRig } from '../../src/embedded/embedded-rig.ts';
import type { Rig } from './rig.ts';
import { runScenario } from './run-scenario.ts';
import { type Scenario, scenarios } from './scenarios.ts';
import { writeTimeoutMs } from './steps.ts';
import type { Entry } from './transcript.ts';

type Golden = Record<string, readonly Entry[]>;

const update = process.env.SANDWARDEN_UPDATE_GOLDEN === '1';
const lab = await labAvailable();
const skipReal = lab.ok ? false : lab.why;
if (!lab.ok) process.stdout.write(`# without real containerd: ${lab.why}\n`);

for (const flavour of allFlavours) {
  const golden = await readGolden(flavour);

  describe(`containerd ${flavour}, real`, { skip: skipReal }, () => {
    for (const scenario of scenarios) {
      test(scenario.name, async () => {
        const seen = asJson(await runScenario(scenario, () => realRig(flavour, { writeTimeoutMs })));
        if (update) golden[scenario.name] = seen;
        assert.deepEqual(seen, golden[scenario.name]);
      });
    }
    test('the recording is written', { skip: !update }, () => writeGolden(flavour, golden));
  });

  describe(`containerd ${flavour}, embedded`, () => {
    for (const scenario of scenarios) {
      test(scenario.name, async () => {
        const seen = asJson(await runScenario(scenario, () => embedded(flavour)));
        assert.deepEqual(seen, golden[scenario.name]);
      });
    }
  });
}

function embedded(flavour: Flavour): Promise<Rig> {
  return embeddedRig(flavour, { writeTimeoutMs });
}

/** In the order of the scenarios, and only those that are there. */
async function writeGolden(flavour: Flavour, golden: Golden): Promise<void> {
  const kept = scenarios.map(({ name }: Scenario) => [name, golden[name]]);
  await writeFile(goldenPath(flavour), `${JSON.stringify(Object.fromEntries(kept), null, 1)}\n`);
}

async function readGolden(flavour: Flavour): Promise<Golden> {
  if (update) return {};
  return JSON.parse(await readFile(goldenPath(flavour), 'utf8')) as Golden;
}

function goldenPath(flavour: Flavour): string {
  return join(import.meta.dirname, 'golden', `${flavour}.golden.json`);
}

/** What JSON keeps of a transcript: an absent field is a field that is undefined. */
function asJson(entries: readonly Entry[]): readonly Entry[] {
  return JSON.parse(JSON.stringify(entries)) as Entry[];
}
