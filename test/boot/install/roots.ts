import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The files of a root by their paths; `-> TARGET` makes a link. */
export type Tree = Readonly<Record<string, string>>;

/** Writes a tree below `root`, as root's alone. */
export function plant(root: string, tree: Tree): void {
  for (const [path, content] of Object.entries(tree)) {
    const real = join(root, path);
    mkdirSync(dirname(real), { recursive: true, mode: 0o755 });
    if (content.startsWith('-> ')) symlinkSync(content.slice(3), real);
    else writeFileSync(real, content, { mode: 0o644 });
  }
}

const program = '/usr/local/lib/sandwarden';
const enabled = (unit: string, target = 'multi-user.target') => ({
  [`/etc/systemd/system/${target}.wants/${unit}`]: `-> /lib/systemd/system/${unit}`,
});

/** systemd and what `make install` puts there; every node has it. */
export const base: Tree = {
  '/usr/lib/systemd/systemd': '',
  '/etc/os-release': 'ID=debian\n',
  [`${program}/node`]: '',
  [`${program}/dist/sandwarden.js`]: '',
  [`${program}/dist/early.sh`]: '',
};

// pkgs.k8s.io kubelet.deb, kubeadm.deb (10-kubeadm.conf), containerd.io.
const containerdUnit = [
  '[Unit]',
  'Description=containerd container runtime',
  'After=network.target local-fs.target dbus.service',
  '[Service]',
  'ExecStartPre=-/sbin/modprobe overlay',
  'ExecStart=/usr/bin/containerd',
  'Type=notify',
  'Delegate=yes',
  'KillMode=process',
  '[Install]',
  'WantedBy=multi-user.target',
  '',
].join('\n');
const kubeletUnit = '[Unit]\nWants=network-online.target\n[Service]\nExecStart=/usr/bin/kubelet\nRestart=always\n';
const kubeadmConf = [
  '[Service]',
  'Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"',
  'EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env',
  'EnvironmentFile=-/etc/default/kubelet',
  'ExecStart=',
  'ExecStart=/usr/bin/kubelet $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS',
  '',
].join('\n');

export const kubeadm: Tree = {
  ...base,
  '/usr/lib/systemd/system/containerd.service': containerdUnit,
  '/usr/lib/systemd/system/kubelet.service': kubeletUnit,
  '/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf': kubeadmConf,
  '/etc/containerd/config.toml': 'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd]\n',
  '/var/lib/kubelet/kubeadm-flags.env':
    'KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=unix:///var/run/containerd/containerd.sock --v=2"\n',
  ...enabled('containerd.service'),
  ...enabled('kubelet.service'),
};

// Amazon Linux 2023: nodeadm starts both at each boot, nothing is enabled.
export const eks: Tree = {
  ...base,
  '/etc/os-release': 'ID="amzn"\n',
  '/etc/eks/image-credential-provider/config.json': '{}',
  '/usr/lib/systemd/system/containerd.service': containerdUnit,
  '/etc/systemd/system/kubelet.service': `${kubeletUnit}EnvironmentFile=/etc/eks/kubelet/environment\n`,
  '/etc/eks/kubelet/environment': 'NODEADM_KUBELET_ARGS="--config=/etc/kubernetes/kubelet/config.json"\n',
  '/etc/containerd/config.toml':
    'version = 3\nroot = "/var/lib/containerd"\n[grpc]\naddress = "/run/containerd/containerd.sock"\n',
};

/** As install.sh of k3s writes it. */
export const k3sUnit = (command: string, name = 'k3s') =>
  [
    '[Unit]',
    'Description=Lightweight Kubernetes',
    'After=network-online.target',
    '[Install]',
    'WantedBy=multi-user.target',
    '[Service]',
    'Type=notify',
    'EnvironmentFile=-/etc/default/%N',
    `EnvironmentFile=-/etc/systemd/system/${name}.service.env`,
    'KillMode=process',
    'Delegate=yes',
    'Restart=always',
    "ExecStartPre=/bin/sh -xc '! /usr/bin/systemctl is-enabled --quiet nm-cloud-setup.service 2>/dev/null'",
    'ExecStartPre=-/sbin/modprobe br_netfilter',
    'ExecStart=/usr/local/bin/k3s \\',
    `    ${command} \\`,
    '',
  ].join('\n');

const own = (unit: string) => ({
  [`/etc/systemd/system/multi-user.target.wants/${unit}`]: `-> /etc/systemd/system/${unit}`,
});

export const k3s: Tree = {
  ...base,
  '/etc/systemd/system/k3s.service': k3sUnit('server'),
  '/etc/systemd/system/k3s.service.env': '',
  ...own('k3s.service'),
};

export const k3sAgent: Tree = {
  ...base,
  '/etc/systemd/system/k3s-agent.service': k3sUnit('agent', 'k3s-agent'),
  '/etc/systemd/system/k3s-agent.service.env': "K3S_TOKEN='secret'\nK3S_URL='https://10.0.0.1:6443'\n",
  ...own('k3s-agent.service'),
};

const rke2Unit = (role: string) =>
  [
    '[Service]',
    'Type=notify',
    'EnvironmentFile=-/etc/default/%N',
    `EnvironmentFile=-/usr/local/lib/systemd/system/rke2-${role}.env`,
    `ExecStart=/usr/local/bin/rke2 ${role}`,
    `ExecStopPost=-/bin/sh -c "systemd-cgls /system.slice/%n | grep -Eo '[0-9]+ (containerd|kubelet)'"`,
    '',
  ].join('\n');

// The tarball brings both units; one is enabled.
export const rke2: Tree = {
  ...base,
  '/usr/local/lib/systemd/system/rke2-server.service': rke2Unit('server'),
  '/usr/local/lib/systemd/system/rke2-agent.service': rke2Unit('agent'),
  '/etc/systemd/system/multi-user.target.wants/rke2-agent.service':
    '-> /usr/local/lib/systemd/system/rke2-agent.service',
};

export const rke2Server: Tree = {
  ...base,
  '/usr/local/lib/systemd/system/rke2-server.service': rke2Unit('server'),
  '/usr/local/lib/systemd/system/rke2-agent.service': rke2Unit('agent'),
  '/etc/systemd/system/multi-user.target.wants/rke2-server.service':
    '-> /usr/local/lib/systemd/system/rke2-server.service',
};

export const k0s: Tree = {
  ...base,
  '/etc/systemd/system/k0sworker.service': '[Service]\nExecStart=/usr/local/bin/k0s worker\n',
};

export const microk8s: Tree = {
  ...base,
  '/etc/systemd/system/snap.microk8s.daemon-kubelite.service': '[Service]\nExecStart=/usr/bin/snap run microk8s\n',
};

export const crio: Tree = {
  ...base,
  '/usr/lib/systemd/system/crio.service': '[Service]\nExecStart=/usr/bin/crio\n',
  '/usr/lib/systemd/system/kubelet.service': kubeletUnit,
  ...enabled('crio.service'),
  ...enabled('kubelet.service'),
};

export const talos: Tree = { '/etc/os-release': 'NAME="Talos"\nID=talos\n' };

export const openrc: Tree = {
  '/etc/os-release': 'ID=alpine\n',
  '/sbin/openrc': '',
  '/etc/init.d/k3s': '#!/sbin/openrc-run\n',
};

/** Makes `path` somebody else's to write. */
export function openToOthers(path: string): void {
  chmodSync(path, 0o777);
}
