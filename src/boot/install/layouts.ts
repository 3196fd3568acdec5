import { SandwardenError } from '../../model/errors.ts';
import { safeText } from '../../model/safe-text.ts';
import { k3sOptions } from '../../observe/installed/k3s-options.ts';
import type { Rooted } from '../../observe/installed/rooted.ts';
import { flagIn, readUnit, splitWords, type UnitFacts, unitNames } from '../../observe/installed/unit-files.ts';
import type { BootLayout } from '../boot-conf.ts';
import { containerdPlaces } from './containerd-config.ts';
import { refuseUnsupported } from './not-supported.ts';

/** How a node starts its runtime and its kubelet, as far as boot healing needs it. */
export interface Layout {
  /** For people: `k3s server`. */
  readonly title: string;
  /** Whether the runtime has a unit of its own or is k3s' child. */
  readonly boot: BootLayout;
  /** The runtime's unit, where it has one. */
  readonly runtimeUnit?: string;
  /** The units that kubelet runs in; mostly one. */
  readonly kubeletUnits: readonly string[];
  readonly containerdRoot: string;
  /** k3s' or RKE2's data-dir. */
  readonly dataDir?: string;
  /** The CRI socket, where it is not containerd's usual one. */
  readonly endpoint?: string;
  /** The files that it was concluded from. */
  readonly from: readonly string[];
}

/**
 * The layout of the node whose files these are. Throws ERR_NOT_SUPPORTED with what to do instead for one that boot
 * healing cannot serve, or with what was looked at where none is recognised; ERR_CONFIG for a broken configuration.
 */
export async function findLayout(files: Rooted): Promise<Layout> {
  await refuseUnsupported(files);
  const found = await Promise.all(families.map((family) => unitsOf(files, family)));
  const present = found.filter((each) => each.units.length > 0);
  const enabled = present.filter((each) => each.units.some((unit) => unit.enabled));
  const [chosen, other] = enabled.length > 0 ? enabled : present;
  if (chosen === undefined) throw nothingFound();
  if (other !== undefined) throw several(chosen, other);
  // RKE2's packages bring the units of both roles and enable one.
  const active = chosen.units.filter((unit) => unit.enabled);
  const units = active.length > 0 ? active : chosen.units;
  return chosen.family === 'kubelet' ? await kubeletLayout(files, units) : await k3sLayout(files, units, chosen.family);
}

type Family = 'k3s' | 'rke2' | 'kubelet';
const families: readonly Family[] = ['k3s', 'rke2', 'kubelet'];

// k3s' install.sh: INSTALL_K3S_NAME makes k3s-NAME.service.
const patterns: Readonly<Record<Family, RegExp>> = {
  k3s: /^k3s(-[\w.-]+)?\.service$/,
  rke2: /^rke2-(server|agent)\.service$/,
  kubelet: /^kubelet\.service$/,
};

interface Found {
  readonly family: Family;
  readonly units: readonly UnitFacts[];
}

async function unitsOf(files: Rooted, family: Family): Promise<Found> {
  const names = await unitNames(files, patterns[family]);
  const units = await Promise.all(names.map((name) => readUnit(files, name)));
  return { family, units: units.filter((unit) => unit !== undefined) };
}

async function k3sLayout(files: Rooted, units: readonly UnitFacts[], family: 'k3s' | 'rke2'): Promise<Layout> {
  const [unit] = units;
  if (unit === undefined) throw nothingFound();
  const options = await k3sOptions(files, unit, family);
  const kubeletUnits = units.map((each) => each.name);
  const role =
    family === 'k3s' ? (unit.execStart.at(-1) ?? []).find((word) => /^(server|agent)$/.test(word)) : undefined;
  const title =
    family === 'k3s' ? `k3s ${role ?? 'server'}` : `RKE2 ${kubeletUnits.map((name) => name.slice(5, -8)).join(' or ')}`;
  if (options.docker) throw runsOnDocker(title);
  const { runtimeEndpoint: endpoint } = options;
  if (endpoint !== undefined && !isOwnSocket(endpoint)) {
    checkEndpoint(endpoint, title);
    const layout = await withContainerdUnit(files, { title: `${title} over containerd.service`, kubeletUnits });
    return { ...layout, from: [...options.from, ...layout.from] };
  }
  return {
    title,
    boot: 'k3s',
    kubeletUnits,
    containerdRoot: `${options.dataDir}/agent/containerd`,
    dataDir: options.dataDir,
    endpoint: '/run/k3s/containerd/containerd.sock',
    from: options.from,
  };
}

async function kubeletLayout(files: Rooted, units: readonly UnitFacts[]): Promise<Layout> {
  const [unit] = units;
  if (unit === undefined) throw nothingFound();
  const endpoint = await kubeletEndpoint(files, unit);
  if (endpoint !== undefined) checkEndpoint(endpoint, 'kubelet');
  const title = (await kubeletTitle(files, unit)).concat(' with containerd');
  const layout = await withContainerdUnit(files, { title, kubeletUnits: [unit.name] });
  return { ...layout, from: [unit.path, ...unit.dropIns, ...layout.from] };
}

async function withContainerdUnit(files: Rooted, part: Pick<Layout, 'title' | 'kubeletUnits'>): Promise<Layout> {
  const runtime = await readUnit(files, 'containerd.service');
  const crio = await readUnit(files, 'crio.service');
  if (crio !== undefined && (runtime === undefined || (crio.enabled && !runtime.enabled))) throw runsOnCrio();
  if (runtime === undefined) {
    throw new SandwardenError('ERR_NOT_SUPPORTED', `${part.title}: there is no containerd.service`, {
      hint: 'Boot healing is ordered after the unit of the runtime; one that is started otherwise is not supported.',
    });
  }
  const { root, address, from } = await containerdPlaces(files, runtime);
  return {
    ...part,
    boot: 'containerd',
    runtimeUnit: runtime.name,
    containerdRoot: root,
    ...(address === undefined ? {} : { endpoint: address }),
    from: [runtime.path, ...runtime.dropIns, ...from],
  };
}

async function kubeletTitle(files: Rooted, unit: UnitFacts): Promise<string> {
  if (await files.has('/etc/eks')) return 'EKS';
  return unit.dropIns.some((path) => path.endsWith('10-kubeadm.conf')) ? 'kubeadm' : 'kubelet';
}

/** The runtime that kubelet is told to use; undefined where nothing names one. */
async function kubeletEndpoint(files: Rooted, unit: UnitFacts): Promise<string | undefined> {
  const flag = '--container-runtime-endpoint';
  const said = [...unit.environment.values()].flatMap((value) => splitWords(value));
  const kubeadm = (await files.read('/var/lib/kubelet/kubeadm-flags.env')) ?? '';
  // KUBELET_KUBEADM_ARGS="--flag=value …"
  const kubeadmWords = splitWords(splitWords(kubeadm.trim()).join(' ').replace(/^\w+=/, ''));
  const config = (await files.read('/var/lib/kubelet/config.yaml')) ?? '';
  return (
    flagIn([...(unit.execStart.at(-1) ?? []), ...said, ...kubeadmWords], flag) ??
    /^containerRuntimeEndpoint:\s*["']?([^"'\s#]+)/m.exec(config)?.[1]
  );
}

function checkEndpoint(endpoint: string, title: string): void {
  if (/crio/.test(endpoint)) throw runsOnCrio();
  if (/docker/.test(endpoint)) throw runsOnDocker(title);
}

function isOwnSocket(endpoint: string): boolean {
  return endpoint.replace(/^unix:\/\//, '') === '/run/k3s/containerd/containerd.sock';
}

function runsOnCrio(): SandwardenError {
  return new SandwardenError('ERR_NOT_SUPPORTED', 'this node runs CRI-O, which boot healing does not serve', {
    hint:
      'CRI-O removes the sandboxes of the last boot by itself: internal_wipe = true in its configuration, or ' +
      "'systemctl enable crio-wipe.service'. 'sandwarden check' and 'heal' work here.",
  });
}

function runsOnDocker(title: string): SandwardenError {
  return new SandwardenError('ERR_NOT_SUPPORTED', `${title} runs on Docker, which boot healing does not serve`, {
    hint: "Docker's sandboxes are not containerd's; move the node to containerd.",
  });
}

function several(one: Found, other: Found): SandwardenError {
  const names = [one, other].map(({ units }) => units.map((unit) => unit.name).join(', '));
  return new SandwardenError('ERR_NOT_SUPPORTED', `two layouts at once: ${safeText(names.join(' and '), 300)}`, {
    hint: "Leave one enabled ('systemctl disable' or 'mask' the units that this node does not use) and install again.",
  });
}

function nothingFound(): SandwardenError {
  const units = 'kubelet.service, k3s.service, k3s-agent.service, rke2-server.service, rke2-agent.service';
  return new SandwardenError('ERR_NOT_SUPPORTED', 'no layout of a Kubernetes node is recognised here', {
    hint: `Looked for ${units} in systemd's folders; masked ones do not count. Install on the node itself.`,
  });
}
