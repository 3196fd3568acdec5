import type { CgroupDriver } from '../../model/cgroups.ts';
import type { Evidence } from '../../model/finding.ts';
import { valueOr } from '../../model/observed.ts';
import type { FileLine, HandlerSettings, RuntimeConfigFacts, RuntimeHandler } from '../../model/runtime-config.ts';
import { describePod } from '../../model/sandbox.ts';
import { shellLine } from '../../model/shell-word.ts';
import { kubeletVersion, type PodView, type Views } from '../views.ts';

/** kubelet's driver and what says so. */
export interface KnownDriver {
  readonly driver: CgroupDriver;
  readonly evidence: Evidence;
}

/**
 * The driver the running kubelet uses: by the tree of pods it has made; where both trees are there or none, what it
 * would take at a start now.
 */
export function driverNow(views: Views): KnownDriver | undefined {
  const onDisk = treesOf(views);
  const [only, second] = onDisk;
  if (only !== undefined && second === undefined) {
    const tree = only === 'systemd' ? 'kubepods.slice' : 'kubepods';
    const source = views.snapshot.kubeletConfig?.known ? 'kubeletConfig' : 'cgroups';
    return {
      driver: only,
      evidence: { source, text: `kubelet uses ${only}: its pods are in /${tree}` },
    };
  }
  return driverAtStart(views);
}

/**
 * The driver kubelet would take if it were started now: of the runtime where both can (KEP-4033: on from 1.31;
 * RuntimeConfig of containerd 2.0 and CRI-O 1.28), else the strongest of its own settings.
 */
export function driverAtStart(views: Views): KnownDriver | undefined {
  const config = views.snapshot.kubeletConfig?.known ? views.snapshot.kubeletConfig.value : undefined;
  const runtime = valueOr(views.snapshot.runtime, undefined);
  const told = runtime?.cgroupDriver;
  if (asksRuntime(views) && isDriver(told)) {
    return {
      driver: told,
      evidence: {
        source: 'runtime',
        text: `RuntimeConfig: the runtime tells kubelet to use ${told} at its next start`,
      },
    };
  }
  const last = config?.drivers.at(-1);
  if (last === undefined || !isDriver(last.driver)) return undefined;
  const where = last.at ? ` (${place(last.at)})` : '';
  return {
    driver: last.driver,
    evidence: { source: 'kubeletConfig', text: `cgroupDriver ${last.driver}: ${namedBy[last.from]}${where}` },
  };
}

const namedBy = {
  default: "kubelet's default, since no flag and no file of it names one",
  file: 'its file',
  'drop-in': 'a drop-in',
  flag: 'its flag',
  configz: 'what kubelet itself says at /configz',
} as const;

/** Whether this kubelet takes the driver from the runtime at its start; false where its version is not known. */
export function asksRuntime(views: Views): boolean {
  const gate = views.snapshot.kubeletConfig?.known ? views.snapshot.kubeletConfig.value.asksRuntime : undefined;
  const minor = Number(/^v?1\.(\d+)/.exec(kubeletVersion(views.snapshot) ?? '')?.[1] ?? 0);
  // The gate is locked from 1.34 on.
  return minor >= 34 || (gate ?? minor >= 31);
}

/** The handlers that are in force, by the running daemon. */
export function liveSettings(views: Views): HandlerSettings | undefined {
  const runtime = valueOr(views.snapshot.runtime, undefined);
  if (runtime === undefined) return undefined;
  const { handlers, defaultHandler } = runtime;
  if (handlers !== undefined && defaultHandler !== undefined) return { handlers, defaultHandler };
  if (runtime.name === 'cri-o' && isDriver(runtime.cgroupDriver)) {
    const systemdCgroup = runtime.cgroupDriver === 'systemd';
    return { handlers: [{ name: 'crio', systemdCgroup }], defaultHandler: 'crio' };
  }
  return undefined;
}

/** What the files give when they are read now: in the runtime's own view where it was asked. */
export function filesNow(config: RuntimeConfigFacts | undefined): HandlerSettings | undefined {
  return config?.dump && 'settings' in config.dump ? config.dump.settings : config?.settings;
}

/** The runtime's files, where they were read. */
export function configOf(views: Views): RuntimeConfigFacts | undefined {
  return views.snapshot.runtimeConfig?.known ? views.snapshot.runtimeConfig.value : undefined;
}

/** SystemdCgroup is an option of runc's shim alone: VM runtimes have no use for it. */
export function isRunc(handler: RuntimeHandler): boolean {
  return handler.runtimeType === undefined || /^io\.containerd\.runc\.v\d$/.test(handler.runtimeType);
}

/** The pods kubelet wants whose newest sandbox is made by this handler. */
export function podsOf(views: Views, handler: string, settings: HandlerSettings): string[] {
  const uses = (view: PodView) => {
    const newest = view.sandboxes.at(-1);
    const name = newest?.runtimeHandler === '' ? settings.defaultHandler : newest?.runtimeHandler;
    return settings.handlers.length === 1 || name === handler;
  };
  return [...views.pods.values()]
    .filter((view) => view.wanted.wants !== 'no' && view.sandboxes.length > 0 && uses(view))
    .map(describePod)
    .sort();
}

/** `/etc/containerd/config.toml:12`. */
export function place({ file, line }: FileLine): string {
  return `${file}:${line}`;
}

/** Whether the first file is one that k3s or RKE2 writes anew at each start. */
export function isGenerated(config: RuntimeConfigFacts | undefined): boolean {
  return config !== undefined && /\/agent\/etc\/containerd\/config\.toml$/.test(config.file);
}

function treesOf(views: Views): readonly CgroupDriver[] {
  const config = views.snapshot.kubeletConfig;
  if (config?.known && config.value.onDisk.length > 0) return config.value.onDisk;
  const { cgroups } = views.snapshot;
  const paths = (cgroups?.known ? cgroups.value.slices : []).filter((each) => each.level === 'kubepods');
  return [
    ...new Set(paths.map((each) => (each.path.endsWith('.slice') ? ('systemd' as const) : ('cgroupfs' as const)))),
  ];
}

function isDriver(text: string | undefined): text is CgroupDriver {
  return text === 'systemd' || text === 'cgroupfs';
}

/** The unit of the runtime; containerd's where systemd did not tell. */
export function runtimeUnitName(views: Views): string {
  return valueOr(views.snapshot.runtimeUnit, undefined)?.name ?? 'containerd.service';
}

/** What starts the runtime anew, and kubelet after it where that is a unit of its own (k3s is both). */
export function restartCommand(views: Views): string {
  const unit = runtimeUnitName(views);
  const runtime = shellLine('systemctl', 'restart', unit);
  return unit === 'containerd.service' || unit === 'crio.service'
    ? `${runtime} && systemctl restart kubelet.service`
    : runtime;
}
