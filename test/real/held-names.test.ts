// Goal: each way in which a real containerd holds a name is told from the others, and mended or left alone as it must
// be. Method: a node of real parts whose kubelet is a name only; the test asks in its place, for one attempt again and
// again, and writes what it is told into kubelet's log.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { labAvailable } from '../../lab/available.ts';
import { allFlavours, type Flavour } from '../../lab/flavours.ts';
import { type RealNode, realNode } from '../../lab/real-node.ts';
import { ExitCode, isSandwardenError } from '../../src/model/errors.ts';
import { askOnce, startAsker, untilRefusedTwice } from './asker.ts';
import { errorsOf, heal, listed, onNode, podSpec, safely, until } from './node.ts';

const lab = await labAvailable();
const skip = lab.ok ? false : lab.why;
const main = 'src/main.ts';
const web = podSpec('web', 1);
const spec = { name: web.name, namespace: web.namespace, uid: web.uid, attempt: 0 };

describe('names that are held on a real node', { skip, concurrency: 3 }, () => {
  for (const flavour of allFlavours) {
    describe(`containerd ${flavour}`, { concurrency: 1 }, () => {
      test('the same attempt is refused, healed, accepted', () => sameAttempt(flavour));
      test('a half-created sandbox that holds its name goes', () => halfCreated(flavour));
      test('a reservation in flight: the process is named, and ended only if that is allowed', () => inFlight(flavour));
      test('two records of one name: reported, and nothing is touched', () => duplicates(flavour));
    });
  }
});

async function sameAttempt(flavour: Flavour): Promise<void> {
  await using node = await nodeWithNamesake(flavour);
  const ghost = await askOnce(node, spec);
  await node.powerCut();
  await node.boot({ kubelet: 'namesake' });
  await using asker = startAsker(node, spec);
  await untilRefusedTwice(asker);
  const { exitCode, stdout, look } = await heal(node);
  assert.deepEqual(errorsOf(look), ['SW101 default/web/0']);
  assert.deepEqual(
    look.plan.actions.map((each) => each.target),
    [ghost],
  );
  assert.equal(exitCode, ExitCode.healthy, stdout);
  assert.match(stdout, /Recovered in .*1 pod came back \(default\/web\)/);
  assert.deepEqual(await listed(node), ['web/0 ready']);
  assert.notEqual(asker.accepted, ghost);
}

/**
 * 1.6 calls CNI DEL again when it removes one; 1.7 dates it as any sandbox and does not; 2.1 leaves nothing in the
 * list, and holds nothing.
 */
async function halfCreated(flavour: Flavour): Promise<void> {
  await using node = await nodeWithNamesake(flavour);
  await node.rig.cni({ add: 'fail', del: 'fail' });
  assert.equal(await askOnce(node, spec), undefined);
  await node.rig.cni({ add: 'ok' });
  await using asker = startAsker(node, spec);
  if (flavour === '2.1') {
    await until('it is accepted', () => asker.accepted !== undefined, 30);
    const { exitCode, look } = await heal(node);
    assert.deepEqual([exitCode, errorsOf(look), look.plan.actions], [ExitCode.healthy, [], []]);
    return;
  }
  await untilRefusedTwice(asker);
  const first = await heal(node);
  assert.deepEqual(errorsOf(first.look), [`${flavour === '1.7' ? 'SW101' : 'SW104'} default/web/0`]);
  if (flavour === '1.6') {
    assert.equal(first.exitCode, ExitCode.healingIncomplete, first.stdout);
    assert.match(first.stdout, /the CNI plugin scripted cannot tear its network down/);
    assert.deepEqual(await listed(node), ['web/0 notready']);
    await node.rig.cni({ del: 'ok' });
  }
  const healed = flavour === '1.6' ? await heal(node) : first;
  assert.equal(healed.exitCode, ExitCode.healthy, healed.stdout);
  assert.deepEqual(await listed(node), ['web/0 ready']);
}

async function inFlight(flavour: Flavour): Promise<void> {
  await using node = await nodeWithNamesake(flavour);
  await node.rig.cni({ add: 'hold' });
  await using cri = disposable(node.kubeletCri());
  await assert.rejects(cri.runSandbox(spec, 1_500), (error) => isSandwardenError(error, 'ERR_SOCKET_HUNG'));
  await node.rig.cni({ add: 'ok' });
  const holder = (await node.rig.cniCalls())[0]?.sandboxId;
  // Refused first five minutes ago: kubelet itself has given up waiting by now.
  assert.equal(await askOnce(node, spec, 300_000), undefined);
  await using asker = startAsker(node, spec);
  await untilRefusedTwice(asker);

  const check = await onNode(node, main, ['check', '-o', 'json']);
  assert.equal(check.code, ExitCode.errorsFound, check.stderr);
  const { findings } = JSON.parse(check.stdout) as {
    findings: { code: string; why: string; object: { id: string } }[];
  };
  const [found, ...others] = findings.filter((each) => each.code === 'SW103');
  assert.deepEqual([found?.object.id, others], [holder, []]);
  assert.match(found?.why ?? '', /It waits for scripted \(pid \d+, state [RSD] in CNI ADD\)/);

  const safe = await onNode(node, main, ['heal', '--yes']);
  assert.equal(safe.code, ExitCode.healingIncomplete, safe.stdout);
  assert.match(safe.stdout, /not touching default\/web\/0: would end the hung CNI process scripted/);
  assert.equal(asker.accepted, undefined);

  const healed = await onNode(node, main, ['heal', '--yes', '--allow=disruptive']);
  assert.equal(healed.code, ExitCode.healthy, healed.stdout + healed.stderr);
  await until('the name is free', () => asker.accepted !== undefined, 30);
}

async function duplicates(flavour: Flavour): Promise<void> {
  await using node = await nodeWithNamesake(flavour);
  const id = await askOnce(node, spec);
  assert.ok(id);
  await node.rig.stop();
  await node.rig.duplicateRecord(id);
  assert.match((await node.startRuntime()) ?? 'it started', /failed to reserve sandbox name/);
  const before = await fingerprint(node);
  const check = await onNode(node, main, ['check']);
  assert.equal(check.code, ExitCode.errorsFound, check.stdout + check.stderr);
  assert.match(check.stdout, /^error SW105 /m);
  assert.match(check.stdout, /^error SW701 /m);
  const healing = await onNode(node, main, ['heal', '--yes', '--allow=disruptive']);
  assert.equal(healing.code, ExitCode.unobservable, healing.stdout + healing.stderr);
  // A daemon that refuses its records may die before it made a socket, or leave one behind.
  assert.match(healing.stderr, /the daemon is down|there is no socket/);
  assert.equal(await fingerprint(node), before);
  assert.deepEqual(
    errorsOf(await node.look(safely)).map((each) => each.slice(0, 5)),
    ['SW105', 'SW701'],
  );
}

/** The records on disk. */
async function fingerprint(node: RealNode): Promise<string> {
  const file = join(node.rig.home, 'root/io.containerd.metadata.v1.bolt/meta.db');
  return createHash('sha256')
    .update(await readFile(file))
    .digest('hex');
}

async function nodeWithNamesake(flavour: Flavour): Promise<RealNode> {
  const node = await realNode({ flavour, pods: [web] });
  assert.equal(await node.boot({ kubelet: 'namesake' }), undefined);
  return node;
}

function disposable<T extends { close(): void }>(closable: T): T & AsyncDisposable {
  return Object.assign(closable, { [Symbol.asyncDispose]: async () => closable.close() });
}
