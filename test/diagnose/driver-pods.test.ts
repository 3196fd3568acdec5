// Goal: a pod is a driver's only where their names say so; two drivers of one namespace are not taken for each other.
// Method: names as the charts of the projects make them, each against its own driver and against others.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { belongsTo, tiePlugins } from '../../src/diagnose/incident/driver-pods.ts';
import { allDrivers } from '../helpers/csi/drivers.ts';

const known: readonly (readonly [driver: string, pods: readonly string[]])[] = [
  ['driver.longhorn.io', ['longhorn-system/longhorn-csi-plugin-x7k2p', 'longhorn-system/csi-attacher-7d9f-abcde']],
  ['ebs.csi.aws.com', ['kube-system/ebs-csi-node-abcde', 'kube-system/ebs-csi-controller-7d9f-abcde']],
  ['efs.csi.aws.com', ['kube-system/efs-csi-node-abcde']],
  ['disk.csi.azure.com', ['kube-system/csi-azuredisk-node-abcde']],
  ['file.csi.azure.com', ['kube-system/csi-azurefile-node-abcde']],
  ['nfs.csi.k8s.io', ['kube-system/csi-nfs-node-abcde', 'kube-system/csi-nfs-controller-7d9f-abcde']],
  ['org.democratic-csi.iscsi', ['democratic-csi/zfs-iscsi-democratic-csi-node-x2x2x']],
  ['hostpath.csi.k8s.io', ['storage/csi-hostpathplugin-0']],
  ['rook-ceph.rbd.csi.ceph.com', ['rook-ceph/csi-rbdplugin-abcde', 'rook-ceph/csi-rbdplugin-provisioner-0']],
  ['rook-ceph.cephfs.csi.ceph.com', ['rook-ceph/rook-ceph.cephfs.csi.ceph.com-nodeplugin-abcde']],
  ['csi.vsphere.vmware.com', ['vmware-system-csi/vsphere-csi-node-abcde']],
  ['pd.csi.storage.gke.io', ['kube-system/pdcsi-node-abcde']],
];

describe('belongsTo', () => {
  for (const [driver, pods] of known) {
    test(`${driver}: its own pods, and no other driver’s`, () => {
      for (const pod of pods) assert.ok(belongsTo(pod, driver), pod);
      const others = known.flatMap(([name, theirs]) => (name === driver ? [] : theirs));
      assert.deepEqual(
        others.filter((each) => belongsTo(each, driver)),
        [],
      );
    });
  }

  test('the pods of the fixtures, also where only the folder is known', () => {
    for (const { name, folder, plugin } of allDrivers) {
      const pod = `${plugin.namespace}/${plugin.name}`;
      assert.ok(belongsTo(pod, name), name);
      assert.ok(belongsTo(pod, folder.slice(folder.lastIndexOf('/') + 1)), folder);
    }
  });

  test('a name that has no word in common says nothing', () => {
    assert.equal(belongsTo('kube-system/hcloud-csi-node-abcde', 'csi.hetzner.cloud'), false);
    assert.equal(belongsTo('kube-system/csi-node-abcde', 'csi'), false);
  });
});

describe('tiePlugins', () => {
  const azure = ['disk.csi.azure.com', 'file.csi.azure.com'];
  const pods = ['kube-system/csi-azuredisk-node-abcde', 'kube-system/coredns-0', 'kube-system/hcloud-csi-node-abcde'];

  test('a plugin that is another known driver’s is not even possible', () => {
    assert.deepEqual(tiePlugins('file.csi.azure.com', azure, pods.slice(0, 2)), {
      ...{ own: [], perhaps: [], namespaces: [], perhapsNamespaces: [] },
    });
  });

  test('one that is nobody’s by its name is possible, where no other is certain', () => {
    assert.deepEqual(tiePlugins('file.csi.azure.com', azure, pods).perhaps, [pods[2]]);
    assert.deepEqual(tiePlugins('disk.csi.azure.com', azure, pods), {
      ...{ own: [pods[0]], perhaps: [], namespaces: [], perhapsNamespaces: ['kube-system'] },
    });
  });

  test('a namespace with a second plugin in it is no driver’s alone; a controller is no node plugin', () => {
    const [rbd, cephfs] = ['rook-ceph/csi-rbdplugin-abcde', 'rook-ceph/csi-cephfsplugin-abcde'];
    const drivers = ['rook-ceph.rbd.csi.ceph.com'];
    assert.deepEqual(tiePlugins(drivers[0] ?? '', drivers, [rbd]).namespaces, ['rook-ceph']);
    assert.deepEqual(tiePlugins(drivers[0] ?? '', drivers, [rbd, cephfs]).perhapsNamespaces, ['rook-ceph']);
    assert.deepEqual(tiePlugins(drivers[0] ?? '', drivers, ['rook-ceph/csi-rbdplugin-provisioner-0']).own, []);
  });
});
