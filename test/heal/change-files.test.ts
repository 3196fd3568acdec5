// Goal: files are written, tried and taken back as docs/safety.md says. Method: a simulated node (config-world.ts)
// whose runtime reads its files at its start and whose systemd reads its units at a reload.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { history } from '../../src/heal/history.ts';
import { undoable } from '../../src/heal/undo.ts';
import { isSandwardenError } from '../../src/model/errors.ts';
import { configNode, dropIn, entriesOf, main, runOf, undo, undoPlan } from './config-run.ts';
import { cpusOf, failure, holdOf, kubeletUnit, orderFile, runtimeUnit } from './config-world.ts';
import { heal } from './sim-run.ts';

const results = ({ actions }: { actions: readonly { action: { kind: string }; result: string }[] }) =>
  actions.map((each) => `${each.action.kind} ${each.result}`);
const allDone = ['write-config done', 'restart-runtime done', 'restart-kubelet done'];

describe('heal', () => {
  test('files, then the runtime, then kubelet; mode and owner stay, nothing secret is in the journal', async () => {
    const node = configNode((world) => world.put(main, 'off # secret', 0o640, 3, 4));
    const { outcome } = await heal(node);
    assert.deepEqual(results(outcome), allDone);
    assert.deepEqual(node.world.files.get(main), { text: 'on # secret', mode: 0o640, uid: 3, gid: 4 });
    assert.deepEqual(node.world.files.get(dropIn), { text: 'on', mode: 0o644, uid: 0, gid: 0 });
    assert.deepEqual(node.world.restarts, [runtimeUnit, kubeletUnit]);
    assert.equal(node.world.live, true);
    assert.deepEqual(node.world.violations, []);
    assert.ok(!node.disk.current.toString().includes('secret'));
  });

  test('a file that containerd refuses is put back, nothing is restarted, and the journal has it', async () => {
    const node = configNode((world) => world.wanted.set(dropIn, 'on BROKEN'));
    const before = node.world.tree();
    const { outcome } = await heal(node);
    assert.deepEqual(results(outcome), ['write-config failed', 'restart-runtime skipped', 'restart-kubelet skipped']);
    assert.match(outcome.stopped?.message ?? '', /containerd would not start with it: it is no valid TOML/);
    assert.match(outcome.stopped?.hint ?? '', /what was there before is back in place; nothing was restarted/);
    assert.equal(node.world.tree(), before);
    assert.deepEqual(node.world.restarts, []);
    assert.equal(history(await entriesOf(node)).at(-1)?.acts[0]?.result, 'failed');
    assert.equal(undoable(await entriesOf(node)).size, 0);
  });

  test('a file that is taken without the wanted value is put back', async () => {
    const node = configNode((world) => world.wanted.set(dropIn, 'what was meant is not said'));
    const before = node.world.tree();
    const { outcome } = await heal(node);
    assert.match(outcome.stopped?.message ?? '', /reads SystemdCgroup = false for runc all the same/);
    assert.equal(node.world.tree(), before);
  });

  test('three attempts that were put back, then it is for a person; the restarts go with it', async () => {
    const node = configNode((world) => world.wanted.set(dropIn, 'BROKEN'));
    for (let run = 0; run < 3; run += 1) assert.equal(results((await heal(node)).outcome)[0], 'write-config failed');
    const { outcome } = await heal(node);
    assert.deepEqual(results(outcome), ['write-config skipped', 'restart-runtime skipped', 'restart-kubelet skipped']);
    assert.match(outcome.actions[0]?.why ?? '', /tried 3 times and failed/);
    assert.match(outcome.actions[1]?.why ?? '', /of no use alone: tried 3 times/);
  });

  test('a runtime that was restarted a moment ago: not even the file is written', async () => {
    const node = configNode();
    await heal(node);
    node.world.put(main, 'off again');
    const { outcome } = await heal(node);
    assert.ok(outcome.actions.every((each) => each.result === 'skipped'));
    assert.match(outcome.actions[0]?.why ?? '', /of no use alone: the runtime was restarted \d+ min ago/);
    assert.equal(node.world.files.get(main)?.text, 'off again');
  });

  test('changed by somebody between plan and act: nothing is written', async () => {
    const node = configNode();
    const look = node.world.look();
    node.world.before = (call) => {
      if (call === 'look') node.world.put(main, 'off, by somebody');
    };
    const { outcome } = await heal(node, { look });
    assert.ok(outcome.actions.every((each) => each.result === 'skipped'));
    assert.equal(node.world.files.get(main)?.text, 'off, by somebody');
  });

  test('a failure in the middle of two files: the first is put back too', async () => {
    const node = configNode();
    const before = node.world.tree();
    node.world.before = (call, path) => {
      if (call === 'replace' && path === dropIn) throw failure('the disk is full');
    };
    const { outcome } = await heal(node);
    assert.match(outcome.stopped?.message ?? '', /the disk is full/);
    assert.equal(node.world.tree(), before);
  });

  test('it did not take: kubelet is not restarted, and the way back is said', async () => {
    const node = configNode();
    node.world.before = (call) => {
      // Somebody else's unit writes the file before the runtime reads it.
      if (call === 'restart') node.world.put(main, 'off, by a unit');
    };
    const { outcome } = await heal(node);
    assert.deepEqual(results(outcome), ['write-config done', 'restart-runtime failed', 'restart-kubelet skipped']);
    assert.match(outcome.stopped?.message ?? '', /SystemdCgroup is still false in force for runc/);
    assert.match(outcome.stopped?.hint ?? '', new RegExp(`heal --undo ${(await runOf(node)).slice(0, 8)}`));
  });

  test('kubelet is waited for until its process has its name', async () => {
    const node = configNode();
    const running = node.world.identity;
    let unseen = 0;
    node.world.before = (call, unit) => {
      if (call === 'restart' && unit === 'kubelet.service') unseen = 3;
      if (call !== 'identity') return;
      node.world.identity = { ...node.world.identity, kubeletRunning: unseen === 0 };
      if (unseen > 0) unseen -= 1;
    };
    const { outcome } = await heal(node);
    assert.equal(running.kubeletRunning, true);
    assert.deepEqual(results(outcome), allDone);
    node.world.before = () => undefined;
  });

  test('a kubelet that does not come is said', async () => {
    const node = configNode();
    let isDown = false;
    node.world.before = (call, unit) => {
      if (call === 'restart') isDown = unit === 'kubelet.service';
      if (call === 'identity' && isDown) node.world.identity = { ...node.world.identity, kubeletRunning: false };
    };
    const { outcome } = await heal(node);
    assert.deepEqual(results(outcome), ['write-config done', 'restart-runtime done', 'restart-kubelet failed']);
    assert.match(outcome.stopped?.message ?? '', /kubelet.service was restarted, but no kubelet runs now/);
  });

  test('an order that systemd does not show is taken back, with its folder', async () => {
    const node = configNode((world) => {
      world.wanted.clear();
      world.isOrderWanted = true;
    });
    const before = node.world.tree();
    node.world.before = (call) => {
      if (call === 'show') node.world.ordered = '';
    };
    const { outcome } = await heal(node);
    assert.match(outcome.stopped?.message ?? '', /systemd does not order containerd.service after writer.service/);
    assert.equal(node.world.tree(), before);
    node.world.before = () => undefined;
    assert.deepEqual(results((await heal(node)).outcome), ['order-unit done']);
    assert.equal(node.world.ordered, 'writer.service');
  });
});

describe('undo', () => {
  test('puts all back, restarts in order, is in history, and a second one finds nothing to do', async () => {
    const node = configNode();
    const before = node.world.tree();
    await heal(node);
    const id = await runOf(node);
    assert.deepEqual([...undoable(await entriesOf(node)).values()], [id.slice(0, 8)]);
    const { outcome } = await undo(node);
    assert.deepEqual(results(outcome), ['restore-files done', 'restart-runtime done', 'restart-kubelet done']);
    assert.equal(node.world.tree(), before);
    assert.equal(node.world.live, false);
    assert.deepEqual(node.world.restarts, [runtimeUnit, kubeletUnit, runtimeUnit, kubeletUnit]);
    assert.ok(!undoable(await entriesOf(node)).has(id));
    assert.deepEqual((await undoPlan(node, id)).plan.actions, []);
    assert.deepEqual(node.world.violations, []);
  });

  test('an undo can be taken back itself', async () => {
    const node = configNode();
    await heal(node);
    const after = node.world.tree();
    await undo(node);
    const [id] = undoable(await entriesOf(node)).keys();
    const { outcome } = await undo(node, id);
    assert.equal(results(outcome)[0], 'restore-files done');
    assert.equal(node.world.tree(), after);
  });

  test('what somebody changed since stays, and the change is shown', async () => {
    const node = configNode();
    await heal(node);
    node.world.put(main, 'on # secret\nand more', 0o600);
    const changed = node.world.tree();
    const { plan, outcome } = await undo(node);
    assert.deepEqual(outcome.actions, []);
    assert.equal(plan.refusals[0]?.object, main);
    assert.match(plan.refusals[0]?.reason ?? '', /somebody changed it since the run [0-9a-f]{8} wrote it: it stays/);
    assert.match(plan.refusals[0]?.diff ?? '', /\n\+and more\n/);
    assert.equal(node.world.tree(), changed);
  });

  test('a mode that somebody changed counts as a change', async () => {
    const node = configNode();
    await heal(node);
    node.world.put(main, 'on # secret', 0o666);
    assert.deepEqual((await undoPlan(node)).plan.actions, []);
  });

  test('the order goes with its folder, and systemd forgets it', async () => {
    const node = configNode((world) => {
      world.wanted.clear();
      world.isOrderWanted = true;
    });
    const before = node.world.tree();
    await heal(node);
    assert.ok(node.world.files.has(orderFile));
    const { outcome } = await undo(node);
    assert.deepEqual(results(outcome), ['restore-files done']);
    assert.equal(node.world.tree(), before);
    assert.equal(node.world.ordered, '');
  });

  test('a run that changed nothing, one that is not there, and what is no id', async () => {
    const node = configNode((world) => {
      world.wanted.clear();
      world.addPod('a');
    });
    const { outcome } = await heal(node);
    assert.equal(outcome.actions.length, 1);
    const id = (await entriesOf(node))[0]?.runId ?? '';
    const says = (text: RegExp) => (error: unknown) =>
      isSandwardenError(error, 'ERR_USAGE') && text.test(error.message);
    await assert.rejects(undoPlan(node, id), says(/changed no file/));
    await assert.rejects(undoPlan(node, 'ffffffffffff'), says(/no run in the journal/));
    await assert.rejects(undoPlan(node, '../../x'), says(/no beginning of a run's id/));
  });

  test('an anchor and a property are taken back too, in this boot', async () => {
    const node = configNode((world) => {
      world.wanted.clear();
      world.extra = [holdOf('kubepods-burstable.slice'), cpusOf('kubepods-besteffort-podx.slice')];
    });
    assert.deepEqual(results((await heal(node)).outcome), ['hold-slice done', 'set-allowed-cpus done']);
    assert.deepEqual([...node.world.held], ['kubepods-burstable.slice']);
    node.world.extra = [];
    const [id] = undoable(await entriesOf(node)).keys();
    const { outcome } = await undo(node, id);
    assert.deepEqual(results(outcome), ['set-allowed-cpus done', 'release-slice done']);
    assert.deepEqual([[...node.world.held], [...node.world.properties.values()]], [[], ['']]);
    assert.deepEqual((await undoPlan(node, id)).plan.actions, []);
    node.machine.bootId = 'boot-2';
    node.world.held.add('kubepods-burstable.slice');
    assert.deepEqual((await undoPlan(node, id)).plan.actions, [], 'what a reboot took is not looked for');
  });

  test('a copy that is gone: refused, and nothing is touched', async () => {
    const node = configNode();
    await heal(node);
    const after = node.world.tree();
    node.machine.kept.clear();
    const { plan } = await undo(node);
    assert.match(plan.refusals[0]?.reason ?? '', /the copy of what was there is not in the state directory/);
    assert.equal(node.world.tree(), after);
  });
});

test('property: after heal and undo the tree is byte-identical, whatever stood there', async () => {
  const file = fc.record({
    there: fc.boolean(),
    text: fc.string({ unit: 'binary', maxLength: 40 }).map((text) => `off ${text.replaceAll('on', '')}`),
    mode: fc.constantFrom(0o600, 0o640, 0o644, 0o755),
    uid: fc.nat(3),
    gid: fc.nat(3),
  });
  const property = fc.asyncProperty(fc.array(file, { minLength: 1, maxLength: 4 }), async (files) => {
    const node = configNode((world) => {
      world.files.clear();
      world.wanted.clear();
      for (const [index, { there, text, mode, uid, gid }] of files.entries()) {
        const path = `/etc/containerd/${index % 2 === 0 ? '' : `d${index}/`}${index}.toml`;
        if (there) world.put(path, text, mode, uid, gid);
        world.wanted.set(path, `on ${text}`);
      }
    });
    const before = node.world.tree();
    assert.deepEqual(results((await heal(node)).outcome), allDone);
    assert.notEqual(node.world.tree(), before);
    assert.equal((await undo(node)).outcome.stopped, undefined);
    assert.equal(node.world.tree(), before);
    assert.deepEqual(node.world.violations, []);
  });
  await fc.assert(property, { numRuns: 60 });
});
