// Goal: nothing is done without an answer, and each end has its code. Method: the conversation of `heal` with a
// person who is
// scripted, over a recorded node; a world that fails the test when anything is done to it.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Io, Output } from '../../src/cli/frame/io.ts';
import { healNode, type Patient } from '../../src/cli/healing.ts';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import { makePlan, type PlanOptions } from '../../src/heal/plan.ts';
import type { World } from '../../src/heal/ports.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { type RecordingName, readRecording } from '../helpers/recording.ts';
import { assertGolden } from './golden.ts';

const healing: PlanOptions = { allow: ['safe'], only: [] };
const stuck = readRecording('clock-step/stuck');

const untouchable = new Proxy({} as World, {
  get: (_, name) => {
    if (name === 'clock') return { wallNs: () => 0n, uptimeNs: () => 0n };
    throw new Error(`the world was used: ${String(name)}`);
  },
});

function patientOf(snapshot: Snapshot, options: PlanOptions = healing): Patient {
  return {
    world: untouchable,
    look: { snapshot, diagnosis: diagnose(snapshot), plan: makePlan(snapshot, options) },
    bootId: 'b',
    readJournal: async () => [],
    openState: () => Promise.reject(new Error('the state was opened')),
  };
}

interface Talk {
  readonly terminal?: boolean;
  readonly flags?: readonly string[];
  readonly output?: string;
  readonly confirm?: Io['confirm'];
  readonly options?: PlanOptions;
}

async function talk(patient: Patient, { terminal = true, flags = [], output, confirm, options = healing }: Talk) {
  const written = { stdout: '', stderr: '' };
  const outputTo = (name: keyof typeof written): Output => ({
    write: (text) => {
      written[name] += text;
    },
    isTerminal: terminal,
    columns: 80,
    takesColour: false,
  });
  let interrupt = () => {};
  const io: Io = {
    env: { LANG: 'C.UTF-8' },
    stdout: outputTo('stdout'),
    stderr: outputTo('stderr'),
    stdinIsTerminal: terminal,
    confirm: confirm ?? (() => Promise.reject(new Error('it asked'))),
    onInterrupt: (handler) => {
      interrupt = handler;
      return () => {};
    },
  };
  const args = {
    flag: (name: string) => flags.includes(name),
    value: (name: string) => (name === 'output' ? output : undefined),
    values: () => [],
  };
  const running = healNode(patient, options, { args, io });
  return { ended: running.then((code) => ({ code, ...written })), interrupt: () => interrupt() };
}

describe('the question', () => {
  test('no: nothing is done, and the plan was shown before it', async () => {
    let question = '';
    const { ended } = await talk(patientOf(stuck), {
      confirm: async (text) => {
        question = text;
        return false;
      },
    });
    const { code, stdout, stderr } = await ended;
    assert.equal(code, 0);
    assert.match(question, /Do these 2 actions\? \[y\/N\] /);
    assert.match(stdout, /The plan: 2 actions[\s\S]*not touching default\/job\/0: finished pod/);
    assert.match(stderr, /Nothing was done/);
  });
  test('Ctrl-C at the question ends with 130', async () => {
    const { ended, interrupt } = await talk(patientOf(stuck), {
      confirm: (_, signal) =>
        new Promise((_resolve, reject) => {
          signal?.addEventListener('abort', () => reject(new Error('aborted')));
          setImmediate(() => interrupt());
        }),
    });
    assert.equal((await ended).code, 130);
  });
  test('a dry run does not ask', async () => {
    const { ended } = await talk(patientOf(stuck), { flags: ['dry-run'], output: 'json' });
    const { code, stdout } = await ended;
    const report = JSON.parse(stdout);
    assert.deepEqual([code, report.exitCode, report.outcome, report.why], [0, 0, null, 'dry run']);
    assert.equal(report.format, 'sandwarden.heal/1');
    assertGolden('json/heal-dry-run.json', stdout);
    assert.deepEqual(
      report.plan.actions.map((each: { object: string }) => each.object),
      ['default/be/0', 'default/web/0'],
    );
  });
  test('without a terminal it does not ask either, and says so', async () => {
    const { code, stderr } = await (await talk(patientOf(stuck), { terminal: false })).ended;
    assert.equal(code, 64);
    assert.match(stderr, /--yes/);
  });
});

describe('nothing to do', () => {
  const codes = { 'clock-step/healed': 0, 'normal-reboot': 0, 'cgroup-flapping': 30 } as const;
  for (const name of Object.keys(codes) as (keyof typeof codes & RecordingName)[]) {
    test(`${name}: ${codes[name]}`, async () => {
      const { code, stdout } = await (await talk(patientOf(readRecording(name)), {})).ended;
      assert.equal(code, codes[name]);
      assert.match(stdout, /The plan: nothing to do/);
    });
  }
  test('an --only that nothing here is called by is said to be that', async () => {
    const only = [
      { code: 'SW102', object: 'default/web/0' },
      { code: 'SW102', object: 'default/weeb/0' },
      { code: 'SW304' },
    ];
    const options: PlanOptions = { allow: ['safe'], only };
    const { code, stdout } = await (await talk(patientOf(stuck, options), { flags: ['dry-run'], options })).ended;
    assert.equal(code, 0);
    assert.match(stdout, /The plan: 1 action/);
    const said = /Not found here: (.*)/.exec(stdout.replace(/\n/g, ' '))?.[1] ?? '';
    assert.match(said, /^SW102\/default\/weeb\/0, SW304; 'sandwarden check' shows what is\./);
  });
  test('where pods are down and nothing may be done about it, healing is incomplete', async () => {
    const patient = patientOf(stuck);
    const none = { ...patient, look: { ...patient.look, plan: { actions: [], refusals: [], pods: [] } } };
    const { code, stdout } = await (await talk(none, {})).ended;
    assert.equal(code, 30);
    assert.match(stdout, /what a\s+person can do/);
  });
});
