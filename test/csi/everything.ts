import { type CsiCluster, driverName, folder } from '../helpers/csi/cluster.ts';
import { plain } from '../helpers/csi/drivers.ts';
import { breakCluster, databases, pod, startCluster } from './cascade.ts';

const plainSocket = `${plain.folder}/csi.sock`;
const registration = `/var/lib/kubelet/plugins_registry/${driverName}-reg.sock`;

export const plainPlugin = pod(plain.plugin, (name) => (name === 'driver' ? { serves: plainSocket } : 'forever'));
export const plainSidecars = plain.sidecars.map((each) => pod(each, () => ({ needs: plainSocket })));

/**
 * The cluster of the cascade with a second driver, whose node plugin comes 12 minutes after the boot (a rollout): its
 * socket is back while its sidecars still wait, and that of Longhorn stays dead.
 */
export function startEverything(): Promise<CsiCluster> {
  return startCluster({ others: [plain] });
}

/**
 * A power cut and 12 minutes after it, in which all that can be found about volumes and storms comes to be: what
 * kubelet and the kernel of a real node say besides is said when they would say it.
 */
export async function breakEverything(cluster: CsiCluster): Promise<void> {
  cluster.leaveRegistration();
  await breakCluster(cluster, 0);
  for (const each of plainSidecars) cluster.add(each);
  // A board under churn: the first stalls come some minutes later.
  for (let second = 20; second <= 700; second += 20) {
    await cluster.node.run(20_000);
    if (second % 60 === 20) await kubeletComplains(cluster);
    if (second > 180) stall(cluster, second);
  }
  cluster.add(plainPlugin);
  await cluster.node.run(15_000);
  await kubeletComplains(cluster);
  stall(cluster, 720);
  await cluster.node.run(5_000);
  cluster.publish();
}

/** Sources of the words: test/observe/csi/log-lines.test.ts. */
async function kubeletComplains(cluster: CsiCluster): Promise<void> {
  const dial = `failed to dial socket ${registration}, err: context deadline exceeded`;
  const failed = `RegisterPlugin error -- dial failed at socket ${registration}, err: ${dial}`;
  await cluster.kubeletSays(
    `E1121 17:43:40.000000     367 goroutinemap.go:150] Operation for "${registration}" failed. Error: ${failed}`,
  );
  for (const { spec } of databases) {
    const volume = `pvc-${spec.name}`;
    const unique = `(UniqueName: "kubernetes.io/csi/${driverName}^handle-${volume}")`;
    const of = `for volume "${volume}" ${unique} pod "${spec.name}" (UID: "${spec.uid}")`;
    await cluster.kubeletSays(
      `E1121 17:43:40.000000     367 nestedpendingoperations.go:348] Operation for "{volumeName:${folder}}" failed. ` +
        `Error: Volume not attached according to node status ${of}`,
    );
  }
}

/** Sources of the words: test/observe/kernel/messages.test.ts. */
function stall(cluster: CsiCluster, number: number): void {
  cluster.kernelSays(
    `rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 2-...D } 21 jiffies s: ${number} root: 0x4/.`,
  );
  cluster.kernelSays(
    'task:runc:[2:INIT]   state:R  running task     stack:0     pid:4711  ppid:4699   flags:0x00000002',
  );
}
