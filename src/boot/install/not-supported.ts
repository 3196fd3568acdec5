import { SandwardenError } from '../../model/errors.ts';
import { safeText } from '../../model/safe-text.ts';
import type { Rooted } from '../../observe/installed/rooted.ts';
import { unitNames } from '../../observe/installed/unit-files.ts';

/** Throws ERR_NOT_SUPPORTED, with what to do instead, for a node that boot healing is known not to serve. */
export async function refuseUnsupported(files: Rooted): Promise<void> {
  const release = (await files.read('/etc/os-release')) ?? (await files.read('/usr/lib/os-release')) ?? '';
  if (/^ID="?talos"?$/m.test(release)) {
    throw refusal(
      'Talos Linux has no systemd and takes no files',
      `Its own services keep the time before kubelet starts (machine.time in its configuration). ${byHand}`,
    );
  }
  const otherInit = await initWithoutSystemd(files);
  if (otherInit !== undefined) {
    throw refusal(
      `this node is not run by systemd (${otherInit})`,
      `The boot hook is made of systemd units. Under OpenRC, let a clock be kept: 'rc-update add swclock boot' or ` +
        `an RTC battery, and chronyd before k3s ('rc_need="chronyd"' in /etc/conf.d/k3s). ${byHand}`,
    );
  }
  const k0s = await unitNames(files, /^k0s(controller|worker)\.service$/);
  if (k0s.length > 0) {
    throw refusal(
      `k0s (${k0s.join(', ')}) is not served at boot: its containerd is its child, and nothing is known of its start`,
      `${keepTheTime} ${byHand}`,
    );
  }
  const snap = await unitNames(files, /^snap\.microk8s\.daemon-(kubelite|containerd|kubelet)\.service$/);
  if (snap.length > 0) {
    throw refusal(
      'MicroK8s is not served at boot: its units belong to snapd, which writes them anew at each refresh',
      `${keepTheTime} ${byHand}`,
    );
  }
}

const byHand = "After a boot with pods that do not start: 'sandwarden check', then 'sandwarden heal'.";
const keepTheTime =
  "Keep the clock from coming up in the past (an RTC battery, the package fake-hwclock, or chrony with 'systemctl " +
  "enable chrony-wait').";

/** systemd is what runs this machine (sd_booted(3)), or what an image has. */
async function initWithoutSystemd(files: Rooted): Promise<string | undefined> {
  const isImage = files.root !== '' && !(await files.has('/run/systemd/system'));
  const places = isImage ? ['/usr/lib/systemd/systemd', '/lib/systemd/systemd'] : ['/run/systemd/system'];
  for (const path of places) if (await files.has(path)) return undefined;
  if (await files.has('/sbin/openrc'))
    return `OpenRC${(await files.has('/etc/init.d/k3s')) ? ', /etc/init.d/k3s' : ''}`;
  return `${places.join(' and ')} not found`;
}

function refusal(message: string, hint: string): SandwardenError {
  return new SandwardenError('ERR_NOT_SUPPORTED', safeText(message, 500), { hint });
}
