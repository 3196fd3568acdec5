// Goal: no error and no warning leaves a person without the next step. Method: the catalogue's findings on recorded and
// random nodes; each has a command to paste, or says why there is none. That no rule can leave out both is the type
// Remedy's part; here is what the words and commands are.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { diagnosisText } from '../../src/cli/render/diagnosis-text.ts';
import { catalogue } from '../../src/diagnose/catalogue.ts';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import type { Finding } from '../../src/model/finding.ts';
import { known } from '../../src/model/observed.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { longhorn } from '../helpers/csi/drivers.ts';
import { readRecording, recordings } from '../helpers/recording.ts';
import { arbitraryNode } from './arbitrary.ts';
import { find, nodeWith, refusing } from './csi-nodes.ts';

const style = { width: 1_000, colour: false, unicode: true };

function assertMends(findings: readonly Finding[]): void {
  for (const { code, object, remedy } of findings) {
    const { command, noCommand } = remedy;
    assert.equal((command ?? '') === '', (noCommand ?? '') !== '', `${code} ${object.name}: ${remedy.text}`);
    const only = /--only (SW\d{3})/.exec(command ?? '')?.[1];
    if (only !== undefined) assert.ok(catalogue.some((each) => each.code === only));
  }
}

describe('each finding has a command, or says why there is none', () => {
  for (const name of recordings) {
    test(name, () => {
      for (const pods of [true, false]) assertMends(diagnose(readRecording(name, { pods })).findings);
      assertMends(diagnose(readRecording(name, { watched: name === 'cgroup-flapping' })).findings);
    });
  }
  test('random nodes', () => {
    fc.assert(
      fc.property(arbitraryNode(), (snapshot) => assertMends(diagnose(snapshot).findings)),
      { numRuns: 200 },
    );
  });
  test('a driver whose pod nobody knows', () => {
    const [finding] = find(nodeWith({ drivers: [refusing(longhorn)] }), 'SW301');
    assert.ok(finding);
    assertMends([finding]);
    assert.match(finding.remedy.noCommand ?? '', /was not seen/);
  });
  test('and why there is none is printed', () => {
    const diagnosis = diagnose(nodeWith({ drivers: [refusing(longhorn)] }));
    assert.match(diagnosisText(diagnosis, style, 'warning'), /^ {8}no command: which pod that is was not seen$/m);
  });
});

describe('SW510 is mended with the handler', () => {
  const snapshot = readRecording('cgroup-flapping');
  const mendOf = (of: Snapshot) => diagnose(of).findings.find((each) => each.code === 'SW510')?.remedy;
  const inForce = (systemdCgroup: boolean | undefined): Snapshot => {
    assert.ok(snapshot.runtime.known);
    const { handlers: _, ...rest } = snapshot.runtime.value;
    const handlers = systemdCgroup === undefined ? {} : { handlers: [{ name: 'runc', systemdCgroup }] };
    return { ...snapshot, runtime: known({ ...rest, ...handlers, defaultHandler: 'runc' }) };
  };
  test('where it is wrong', () => {
    assert.equal(mendOf(snapshot)?.command, 'sandwarden heal --allow=disruptive --only SW503');
    assert.equal(mendOf(inForce(false))?.command, 'sandwarden heal --allow=disruptive --only SW503');
  });
  test('where it is right by now the pod is of before', () => {
    assert.equal(mendOf(inForce(true))?.command, 'kubectl -n default delete pod be');
  });
  test('where nothing is known of it, that is said', () => {
    assert.match(mendOf(inForce(undefined))?.noCommand ?? '', /was not seen/);
  });
});

test('SW504 edits the very line of kubelet’s file that names the driver', () => {
  const snapshot = readRecording('normal-reboot');
  const sick = (from: 'file' | 'flag'): Snapshot => ({
    ...snapshot,
    runtime: known({
      ...(snapshot.runtime.known ? snapshot.runtime.value : assert.fail()),
      handlers: [{ name: 'runc', systemdCgroup: true }],
      defaultHandler: 'runc',
    }),
    kubeletConfig: known({
      files: [],
      drivers: [{ driver: 'cgroupfs', from, at: { file: '/var/lib/kubelet/config.yaml', line: 7 } }],
      onDisk: ['cgroupfs'],
    }),
  });
  const mendOf = (of: Snapshot) => diagnose(of).findings.find((each) => each.code === 'SW504')?.remedy;
  assert.equal(
    mendOf(sick('file'))?.command,
    'sed -i 7s/cgroupfs/systemd/ /var/lib/kubelet/config.yaml && systemctl restart kubelet.service',
  );
  assert.match(mendOf(sick('flag'))?.noCommand ?? '', /no file is known/);
});
