import { valueOr } from '../../model/observed.ts';
import { observeKubeletConfig } from '../config/kubelet.ts';
import { findKubelet, listProcesses } from '../proc.ts';
import { observed } from '../unknown.ts';

/**
 * The `--cgroup-root` of the kubelet that runs here, as its flags and files have it: `/a/b`, with systemd's driver the
 * slice a-b.slice below a.slice. Undefined where no kubelet is seen or it names none: then the tree is looked for.
 */
export async function kubeletCgroupRoot(root = ''): Promise<string | undefined> {
  const found = await findKubelet(await observed(() => listProcesses(root)), root);
  return valueOr(await observeKubeletConfig(found, root), undefined)?.cgroupRoot;
}
