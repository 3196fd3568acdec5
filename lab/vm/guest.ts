import { pauseImage } from '../flavours.ts';

/** A file or a symbolic link of the image. */
export type ImageEntry = { readonly text: string; readonly mode?: number } | { readonly link: string };

/** containerd's major configuration dialect in an image. */
export type ConfigVersion = 2 | 3;

/** Where things lie in the guest. */
export const guestPaths = {
  containerdSocket: '/run/containerd/containerd.sock',
  k3sSocket: '/run/k3s/containerd/containerd.sock',
  k3sData: '/var/lib/rancher/k3s',
  standin: '/usr/local/lib/standin/standin.mjs',
  pods: '/etc/standin/pods.json',
  version: '/etc/standin/version',
  state: '/var/lib/standin',
  pauseArchive: '/usr/local/lib/standin/pause.tar',
} as const;

/** Units that only cost boot time on this machine: it has no network, no terminals and one disk. */
export const maskedUnits = [
  ...[
    'apt-daily.timer',
    'apt-daily-upgrade.timer',
    'dpkg-db-backup.timer',
    'e2scrub_all.timer',
    'e2scrub_reap.service',
  ],
  ...['fstrim.timer', 'getty@tty1.service', 'systemd-networkd-wait-online.service', 'systemd-pstore.service'],
  ...['dev-hugepages.mount', 'dev-mqueue.mount', 'sys-kernel-debug.mount', 'sys-kernel-tracing.mount'],
  ...['modprobe@configfs.service', 'modprobe@drm.service', 'modprobe@efi_pstore.service', 'modprobe@fuse.service'],
  ...['sys-fs-fuse-connections.mount', 'sys-kernel-config.mount', 'systemd-tpm2-setup-early.service'],
  ...['systemd-udev-load-credentials.service', 'modprobe@dm_mod.service', 'modprobe@loop.service'],
];

/** Everything that the image has beside Debian's packages, Node and the pause image: path → what is there. */
export function imageEntries(config: ConfigVersion): Readonly<Record<string, ImageEntry>> {
  const wanted = '/etc/systemd/system/multi-user.target.wants';
  return {
    '/etc/hostname': { text: 'sandwarden-lab\n' },
    // No check at boot (the last column): waiting for udev to name the disk would cost seconds.
    '/etc/fstab': { text: '/dev/vda / ext4 defaults 0 0\n' },
    '/etc/containerd/config.toml': { text: containerdConfig(config) },
    '/etc/cni/net.d/10-lab.conflist': { text: conflist },
    '/etc/systemd/journald.conf.d/lab.conf': { text: '[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\n' },
    '/usr/local/lib/lab/agent': { text: agentScript, mode: 0o755 },
    '/etc/systemd/system/lab-agent.service': { text: agentUnit },
    '/etc/systemd/system/sysinit.target.wants/lab-agent.service': { link: '/etc/systemd/system/lab-agent.service' },
    '/etc/systemd/system/serial-getty@ttyS0.service.d/autologin.conf': { text: autologin },
    '/usr/bin/kubelet': { text: kubeletScript, mode: 0o755 },
    '/etc/systemd/system/kubelet.service': { text: kubeletUnit },
    [`${wanted}/kubelet.service`]: { link: '/etc/systemd/system/kubelet.service' },
    [`${wanted}/containerd.service`]: { link: '/usr/lib/systemd/system/containerd.service' },
    '/usr/local/bin/k3s': { text: k3sScript, mode: 0o755 },
    '/etc/systemd/system/k3s.service': { text: k3sUnit },
    [`${guestPaths.k3sData}/agent/etc/cni/net.d/10-lab.conflist`]: { text: conflist },
    [`${guestPaths.k3sData}/agent/images/pause.tar`]: { link: guestPaths.pauseArchive },
    ...k3sPrograms(),
    '/usr/local/bin/crictl': { text: crictlScript, mode: 0o755 },
    [guestPaths.version]: { text: 'v1.34.9\n' },
    ...Object.fromEntries(maskedUnits.map((unit) => [`/etc/systemd/system/${unit}`, { link: '/dev/null' }])),
  };
}

/** containerd's configuration for a real node with systemd: nothing of it is softened. */
export function containerdConfig(version: ConfigVersion, cniConf = '/etc/cni/net.d'): string {
  const quoted = JSON.stringify;
  if (version === 2) {
    return `version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = ${quoted(pauseImage)}
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = ${quoted(cniConf)}
`;
  }
  return `version = 3
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = ${quoted(pauseImage)}
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  SystemdCgroup = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = ${quoted(cniConf)}
`;
}

const conflist = `${JSON.stringify(
  {
    cniVersion: '1.0.0',
    name: 'lab',
    plugins: [
      {
        type: 'ptp',
        ipam: { type: 'host-local', ranges: [[{ subnet: '10.88.0.0/16' }]], routes: [{ dst: '0.0.0.0/0' }] },
      },
    ],
  },
  null,
  2,
)}\n`;

/** The guest's end of agent.ts. GNU head reads no byte more than it is asked for; dash reads its line byte by byte. */
const agentScript = `#!/bin/sh
mkdir -p /run/lab
cd /run/lab || exit 1
until [ -c "$port" ]; do
  for port in /dev/vport*p1; do [ -c "$port" ] && break; done
  [ -c "$port" ] || sleep 0.1
done
exec 3<>"$port"
printf 'HELLO\\n' >&3
while read -r id seconds script input <&3; do
  /usr/bin/head -c "$script" <&3 >script
  /usr/bin/head -c "$input" <&3 >input
  (cd / && exec timeout -k 2 "$seconds" /bin/sh /run/lab/script </run/lab/input >/run/lab/out 2>/run/lab/err 3>&-)
  code=$?
  set -- $(stat -c %s out err)
  { printf '%s %s %s %s\\n' "$id" "$code" "$1" "$2"; cat out err; } >&3
done
`;

/** As early as a shell makes sense, so that a node that hangs while it boots can be looked at. */
const agentUnit = `[Unit]
Description=Shell of the laboratory
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target

[Service]
ExecStart=/usr/local/lib/lab/agent
Environment=HOME=/root
KillMode=process
OOMScoreAdjust=-1000
TasksMax=infinity
`;

/** For `run.ts console`; tests mask the unit. */
const autologin = `[Service]
ExecStart=
ExecStart=-/sbin/agetty --autologin root --noclear --keep-baud 115200 %I $TERM
`;

const standin = `/usr/local/bin/node ${guestPaths.standin}`;

/** As kubeadm's package has it (kubelet.service and 10-kubeadm.conf), without what a stand-in has no use for. */
const kubeletUnit = `[Unit]
Description=kubelet: The Kubernetes Node Agent
Documentation=https://kubernetes.io/docs/
After=containerd.service
Wants=containerd.service
ConditionPathExists=${guestPaths.pods}
ConditionPathExists=${guestPaths.standin}
StartLimitIntervalSec=0

[Service]
ExecStart=/usr/bin/kubelet --container-runtime-endpoint=unix://${guestPaths.containerdSocket} --v=2
Restart=always
RestartSec=10

[Install]
WantedBy=multi-user.target
`;

const kubeletScript = `#!/bin/sh
# A stand-in with kubelet's choices, over the real runtime.
if [ "$1" = --version ]; then
  echo "Kubernetes $(cat ${guestPaths.version})"
  exit 0
fi
exec ${standin} kubelet "$@"
`;

/** As k3s's install.sh writes it. */
const k3sUnit = `[Unit]
Description=Lightweight Kubernetes
Documentation=https://k3s.io
Wants=network-online.target
After=network-online.target
ConditionPathExists=${guestPaths.standin}

[Install]
WantedBy=multi-user.target

[Service]
Type=notify
NotifyAccess=all
EnvironmentFile=-/etc/default/%N
EnvironmentFile=-/etc/sysconfig/%N
EnvironmentFile=-/etc/systemd/system/k3s.service.env
KillMode=process
Delegate=yes
User=root
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
Restart=always
RestartSec=5s
ExecStartPre=-/sbin/modprobe br_netfilter
ExecStartPre=-/sbin/modprobe overlay
ExecStart=/usr/local/bin/k3s server
`;

const k3sScript = `#!/bin/sh
# A stand-in for k3s: owns containerd as its child and has kubelet's choices inside.
if [ "$1" = --version ]; then
  echo "k3s version $(cat ${guestPaths.version})+k3s1 (00000000)"
  exit 0
fi
if [ "$1" = crictl ]; then
  shift
  export CONTAINER_RUNTIME_ENDPOINT="\${CONTAINER_RUNTIME_ENDPOINT:-unix://${guestPaths.k3sSocket}}"
  exec /usr/local/bin/crictl "$@"
fi
exec ${standin} k3s "$@"
`;

const crictlScript = `#!/bin/sh
# The part of cri-tools' crictl that the scenarios need; Debian does not carry it.
exec ${standin} crictl "$@"
`;

/** k3s brings its own programs; here they are Debian's under k3s's paths. */
function k3sPrograms(): Record<string, ImageEntry> {
  const bin = `${guestPaths.k3sData}/data/current/bin`;
  return {
    [`${bin}/containerd`]: { link: '/usr/bin/containerd' },
    [`${bin}/containerd-shim-runc-v2`]: { link: '/usr/bin/containerd-shim-runc-v2' },
    [`${bin}/ctr`]: { link: '/usr/bin/ctr' },
    [`${bin}/runc`]: { link: '/usr/sbin/runc' },
    [`${bin}/crictl`]: { link: '/usr/local/bin/crictl' },
  };
}
