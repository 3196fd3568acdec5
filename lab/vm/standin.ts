/**
 * What runs inside of the guest in place of Kubernetes' own programs, in one bundle:
 *
 *     standin.mjs kubelet --container-runtime-endpoint=unix:///…    kubelet's choices over the real runtime
 *                    [--cgroup-driver=systemd]                      and its work on the cgroups of pods
 *     standin.mjs k3s server                                        the same, with containerd as a child
 *     standin.mjs crictl …                                          the part of crictl that scenarios need
 */
import { writeFileSync } from 'node:fs';
import { crictl } from './standin-crictl.ts';
import { k3s } from './standin-k3s.ts';
import { runKubelet } from './standin-kubelet.ts';

const [mode, ...args] = process.argv.slice(2);
if (mode === 'kubelet') {
  const flag = (name: string) => args.find((each) => each.startsWith(`--${name}=`))?.split('=')[1];
  const endpoint = flag('container-runtime-endpoint');
  if (endpoint === undefined) throw new Error('--container-runtime-endpoint= is missing');
  const driver = flag('cgroup-driver');
  // A title takes the place of the arguments, and where kubelet makes cgroups its flags are looked at.
  if (driver === undefined) process.title = 'kubelet';
  else writeFileSync('/proc/self/comm', 'kubelet');
  await runKubelet(endpoint, driver);
} else if (mode === 'k3s') {
  process.title = 'k3s-server';
  await k3s();
} else if (mode === 'crictl') {
  process.exitCode = await crictl(args);
} else {
  process.stderr.write(`no stand-in is called '${mode}'\n`);
  process.exitCode = 64;
}
