// Goal: all that is known of volumes and storms is told in one look, as one story, and healed as one.
// Method: two drivers on one node after a power cut; one is blocked, the other is back while its sidecars still wait.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { diagnosisText } from '../../src/cli/render/diagnosis-text.ts';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import type { Finding } from '../../src/model/finding.ts';
import { decodeSnapshot, encodeSnapshot } from '../../src/observe/snapshot-file.ts';
import { assertGolden } from '../cli/golden.ts';
import { styles } from '../cli/styles.ts';
import { driverName } from '../helpers/csi/cluster.ts';
import { plain } from '../helpers/csi/drivers.ts';
import { healerOf, nameOf, plugin, sidecars } from './cascade.ts';
import { breakEverything, plainPlugin, plainSidecars, startEverything } from './everything.ts';

const codes = ['SW301', 'SW302', 'SW303', 'SW304', 'SW305', 'SW306', 'SW401', 'SW402', 'SW403'];

/** One look at the node, with what it cost. */
async function lookOnce() {
  await using cluster = await startEverything();
  await breakEverything(cluster);
  using healer = healerOf(cluster);
  const before = cluster.api.asked.length;
  const look = await healer.look();
  return { ...look, requests: cluster.api.asked.length - before };
}

describe('a blocked driver, one that is back, a storm and a kernel that stalls', () => {
  let look: Promise<Awaited<ReturnType<typeof lookOnce>>> | undefined;
  const once = () => {
    look ??= lookOnce();
    return look;
  };

  test('are all found in one look, each of the driver that it is of', async () => {
    const { diagnosis, requests } = await once();
    assert.equal(requests, 3);
    const of = (code: string) => diagnosis.findings.filter((each) => each.code === code);
    const told = codes.map((code) => [code, of(code).length, of(code)[0]?.severity, of(code)[0]?.object.name]);
    assert.deepEqual(told, [
      ['SW301', 1, 'error', driverName],
      ['SW302', 1, 'error', driverName],
      ['SW303', 1, 'warning', 'storage/plain-controller-7d9f-abcde'],
      ['SW304', 1, 'warning', `/var/lib/kubelet/plugins_registry/${driverName}-reg.sock`],
      ['SW305', 5, 'error', 'csi-pvc-db-0'],
      ['SW306', 1, 'error', 'volumes'],
      ['SW401', 1, 'warning', 'container creations'],
      ['SW402', 1, 'warning', 'kernel'],
      ['SW403', 1, 'warning', 'loop'],
    ]);
    // Which driver the claims belong to is told by kubelet's log.
    assert.equal(of('SW306')[0]?.why, `5 pods wait for volumes; it hangs on SW301 (${driverName}).`);
    const kubelet = /kubelet: Volume not attached according to node status$/;
    assert.ok(of('SW306')[0]?.evidence.every((each) => kubelet.test(each.text)));
    // The pods that kubelet kills and makes anew, and the one whose socket is back, are none that would go on.
    assert.match(of('SW403')[0]?.why ?? '', /Without the dead sandboxes it ends now\.$/);
    const all = (finding: Finding | undefined) => finding?.evidence.map((each) => each.text.split(':')[0]);
    const links = ['reset', 'dead sandboxes', 'volumes', 'crash loops', 'stalls', 'what comes next'];
    assert.deepEqual(all(of('SW403')[0]), links);
  });

  test('are one chain, each link with its time, what it came of, and one that ends it', async () => {
    const { diagnosis, snapshot } = await once();
    assert.ok(snapshot.node.known);
    const { uptimeNs } = snapshot.node.value;
    const { chain } = diagnosis;
    // Seconds after the boot; a date where no clock of this boot reaches.
    const when = chain.map(({ agoNs, at }) => {
      if (agoNs !== null) return Number((uptimeNs - agoNs) / 1_000_000_000n);
      return at === null ? null : new Date(Number(at.wallNs / 1_000_000n)).toISOString().slice(11, 19);
    });
    const story = chain.map(({ code, text, because, others = [] }, index) => {
      const what = code ?? text.replace(/ (?:for|with|kubelet|ended|v1).*/, '');
      return [what, when[index], because?.split(':')[0], others.map((each) => each.code).join(' ')];
    });
    assert.deepEqual(story, [
      ['the last boot', '19:43:17', undefined, ''],
      ['the node booted', 0, undefined, ''],
      ['SW102', 14, 'SW201', 'SW202'],
      ['kubelet', 17, undefined, ''],
      // The sidecars missed the socket before the first refusal of its plugin was seen.
      ['SW302', null, 'SW102', ''],
      ['SW301', 18, 'SW302', ''],
      ['8 CSI pods crash-loop', 18, 'SW301', ''],
      // Made before the boot, by the clock of the API server.
      ['SW305', '19:40:17', 'SW301', ''],
      ['SW401', 18, 'SW301', 'SW102 SW303'],
      // Of a driver that is well: nothing on this node keeps it from going on.
      ['SW303', 18, undefined, ''],
      ['the runtime refused', 21, 'SW102', ''],
      ['SW306', 37, 'SW305', 'SW304'],
      ['SW402', 217, 'SW401', ''],
      ['8 pods do not run', 737, undefined, ''],
    ]);
    const shared = chain.flatMap(({ because = '' }) => /\(shared: ([^;)]*)/.exec(because)?.[1] ?? []);
    const name = nameOf(plugin);
    const [ghost = ''] = shared.slice(6, 7);
    assert.match(ghost, /^sandbox [0-9a-f]{13}$/);
    const driver = `driver ${driverName}`;
    assert.deepEqual(shared.toSpliced(6, 1), [
      'end of the last boot',
      `plugin ${name}`,
      driver,
      driver,
      `attacher ${driverName}`,
      driver,
      'waiting apps/db-0',
      'task runc',
    ]);
    const ends = chain.flatMap((each) => (each.ends === undefined ? [] : [each.code, each.ends]));
    assert.deepEqual(ends, ['SW102', `SW102 (${name}/0, 8 of them): stop and remove this sandbox`]);
  });

  for (const [style, how] of Object.entries(styles)) {
    test(`read like the report of an accident: ${style}`, async () => {
      const { diagnosis } = await once();
      assertGolden(`check-volumes.${style}.txt`, diagnosisText(diagnosis, how, 'warning'));
    });
  }

  test('are told the same from the file of a snapshot', async () => {
    const { diagnosis, snapshot } = await once();
    assert.deepEqual(diagnose(decodeSnapshot(encodeSnapshot(snapshot))), diagnosis);
  });

  test('are healed in one run: no plugin is deleted, and nothing of all that is left', async () => {
    await using cluster = await startEverything();
    await breakEverything(cluster);
    using healer = healerOf(cluster);
    const { outcome } = await healer.heal();
    assert.equal(outcome.recovery.state, 'recovered', JSON.stringify(outcome.recovery));
    const kinds = outcome.actions.map((each) => each.action.kind);
    assert.deepEqual([...new Set(kinds)], ['unlink-socket', 'remove-sandbox', 'delete-pod']);
    assert.deepEqual(cluster.deleted.toSorted(), [...sidecars, ...plainSidecars].map(nameOf).sort());
    assert.equal(cluster.deleted.includes(nameOf(plainPlugin)), false);
    assert.ok(cluster.objects('volumeattachments').every((each) => (each.status as { attached: boolean }).attached));
    const { diagnosis } = await healer.look();
    const volumes = diagnosis.findings.filter((each) => /^SW(?:10[1-7]|30\d)$/.test(each.code));
    assert.deepEqual(
      volumes.map((each) => `${each.code} ${each.object.name}`),
      [],
    );
    assert.notEqual(cluster.driver(`${plain.folder}/csi.sock`)?.state, 'refuses');
  });
});
