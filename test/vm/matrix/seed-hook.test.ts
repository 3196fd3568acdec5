/** Scenario 11: the hook that a blog recommends. It runs at each boot, and has never cleaned anything. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { imageNames } from '../../../lab/vm/image.ts';
import { podsRun } from '../../../lab/vm/node.ts';
import * as hook from '../hook.ts';
import { blaming, skip, timeout } from '../hook-scenarios.ts';
import { sandboxesOf } from '../recovered.ts';

const script = '/usr/local/bin/k3s-pre-start-cleanup.sh';
const dropIn = '/etc/systemd/system/k3s.service.d/sandbox-cleanup.conf';
const where = hook.crictlOf({ layout: 'k3s' });
const socket = 'unix:///run/k3s/containerd/containerd.sock';

for (const image of imageNames) {
  test(`11: the hook in ExecStartPre, ${image}: SW203, and it cleans nothing`, { skip, timeout }, async () => {
    await using vm = await hook.prepareNode({ image, layout: 'k3s' });
    await blaming(vm, async () => {
      await vm.put(script, {
        data: `#!/bin/bash
# Clean stale containerd sandboxes before k3s starts.
export PATH=/usr/local/bin:$PATH
crictl --runtime-endpoint ${socket} \\
pods --state NotReady -q 2>/dev/null | \\
xargs -r crictl --runtime-endpoint ${socket} \\
rmp --force 2>/dev/null || true
date +%s.%N >>/var/lib/hook-ran
`,
        mode: 0o755,
      });
      await vm.put(dropIn, `[Service]\nExecStartPre=${script}\n`);
      const cutAt = await sandboxesOf(vm, where.command);
      await vm.cutPower({ syncFirst: true });

      await vm.boot();
      const now = await podsRun(vm, hook.services, where);
      const ran = (await vm.out(['cat', '/var/lib/hook-ran'])).trim().split('\n');
      assert.equal(ran.length, 1, 'the hook ran at this boot, and ended in success');
      assert.deepEqual(hook.gone(hook.newest(cutAt), now), [], 'each ghost that it should have removed is still there');
      assert.ok(now.some((each) => each.name === 'web' && each.attempt === 0 && each.state === 'notready'));

      const { stdout } = await vm.run([hook.sandwarden, 'check', '-o', 'json'], { timeoutMs: 240_000 });
      const { findings } = JSON.parse(stdout) as { findings: { code: string; evidence: { text: string }[] }[] };
      const found = findings.find((each) => each.code === 'SW203');
      assert.ok(found, stdout);
      const evidence = found.evidence.map((each) => each.text).join('\n');
      assert.match(evidence, /sandbox-cleanup\.conf/);
      assert.match(evidence, /k3s-pre-start-cleanup\.sh/);
    });
  });
}
