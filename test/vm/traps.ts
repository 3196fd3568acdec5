/** What scenarios do to a guest while it boots: things that nobody at the shell would be quick enough for. */
import { guestPaths } from '../../lab/vm/guest.ts';
import type { Vm } from '../../lab/vm/vm.ts';
import type { PodSpec } from '../../src/embedded/pod-spec.ts';

const script = '/usr/local/lib/lab/trap';
const unitPath = '/etc/systemd/system/lab-trap.service';

/** Runs a shell script from the next boots' earliest moment on, beside everything else. The machine is off. */
export async function layTrap(vm: Vm, body: string): Promise<void> {
  await vm.put(script, { data: `#!/bin/sh\n${body}\n`, mode: 0o755 });
  await vm.put(
    unitPath,
    `[Unit]
Description=A trap of the laboratory
DefaultDependencies=no
After=local-fs.target

[Service]
ExecStart=${script}
`,
  );
  await vm.put('/etc/systemd/system/sysinit.target.wants/lab-trap.service', { link: unitPath });
}

/** Takes the trap away again, for the boots that follow. */
export async function disarm(vm: Vm): Promise<void> {
  await vm.put(script, { data: '#!/bin/sh\nexit 0\n', mode: 0o755 });
}

/**
 * Cuts the power from inside, at once, when a pattern is in our journal so many times. Only CNI's notes of the moment
 * are flushed: where they are lost, no sandbox of theirs can be stopped any more (SW106), which is another matter.
 */
export function cutWhen(pattern: string, times = 1): string {
  const journal = '/var/lib/sandwarden/journal.ndjson';
  return `until [ "$(grep -c '${pattern}' ${journal} 2>/dev/null)" -ge ${times} ]; do sleep 0.02; done 2>/dev/null
sync /var/lib/cni/results/* /var/lib/cni/networks/*/*
echo b >/proc/sysrq-trigger`;
}

/** Sends a signal to each process whose command line holds the text, as soon as there is one. */
export function signalWhen(signal: 'KILL' | 'STOP', commandLine: string): string {
  return `until pkill -${signal} -f '${commandLine}'; do sleep 0.1; done`;
}

/** Waits until the trap has cut the power. */
export async function untilOff(vm: Vm, timeoutMs = 420_000): Promise<void> {
  await vm.waitFor('the trap cuts the power', async () => !vm.isOn, { timeoutMs, everyMs: 200 });
}

/**
 * Puts a shell in front of the CNI plugin: while /run/lab-hang is there, an ADD says so in /run/lab-adds and hangs.
 * The flag goes with the boot.
 */
export async function slowCni(vm: Vm): Promise<void> {
  await vm.out(`cd /usr/lib/cni && mv ptp ptp.real && cat >ptp && chmod 755 ptp`, {
    input: `#!/bin/sh
if [ "$CNI_COMMAND" = ADD ] && [ -e /run/lab-hang ]; then
  echo "$CNI_CONTAINERID" >>/run/lab-adds
  exec sleep 1000
fi
exec /usr/lib/cni/ptp.real
`,
  });
}

/**
 * Gives kubelet a further pod and stops it right after it has made that one's sandbox: READY and without a container,
 * so that the power cut makes a ghost of it that owns nothing.
 */
export async function stopAfterSandboxOf(vm: Vm, pods: readonly PodSpec[]): Promise<void> {
  await vm.put(guestPaths.pods, JSON.stringify(pods));
  await vm.out(
    `tasks=/run/containerd/io.containerd.runtime.v2.task/k8s.io
ls $tasks >/run/lab-before
systemctl restart kubelet
pid=$(systemctl show -p MainPID --value kubelet)
until ls $tasks | grep -vxF -f /run/lab-before >/run/lab-new; do sleep 0.05; done
until [ -s $tasks/$(head -n 1 /run/lab-new)/init.pid ]; do sleep 0.02; done
kill -STOP $pid`,
    { timeoutMs: 300_000 },
  );
}

/** Takes every block of the root's file system, those that are kept for root too. The files hold nothing. */
export async function fillDisk(vm: Vm): Promise<void> {
  await vm.out(
    `i=0
for size in 512M 64M 8M 1M 64K 4K; do
  while fallocate -l $size /var/fill.$i 2>/dev/null; do i=$((i+1)); done
done
sync`,
    { timeoutMs: 300_000 },
  );
}
