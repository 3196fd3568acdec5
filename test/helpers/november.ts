import type { JournalEntry } from './journal-file.ts';

/**
 * A node's journal of three days in November, after a public account of such a loop: a reset on the 13th at 06:02
 * (UTC-7) leaves 36 dead sandboxes; Longhorn's CSI plugin is blocked for 37 hours, 8 pods crash-loop and a container is
 * made each 2.5 s; the kernel reports 1,191 expedited RCU stalls; on the 14th at 16:33 the API stops, at 19:38 the node
 * is reset, and 36 sandboxes are dead again. Deterministic.
 */
export const november = {
  firstBootUs: at('2025-11-12T02:00:00Z'),
  resetUs: at('2025-11-13T13:02:00Z'),
  freezeUs: at('2025-11-14T23:33:00Z'),
  secondResetUs: at('2025-11-15T02:38:00Z'),
  endUs: at('2025-11-15T03:08:00Z'),
  ghosts: 36,
  stalls: 1_191,
  loopingPods: 8,
  driver: 'driver.longhorn.io',
  bootIds: ['a1', 'b2', 'c3'].map((each) => each.repeat(16)),
} as const;

const loopingContainers = ['csi-attacher', 'csi-provisioner', 'csi-resizer', 'csi-snapshotter'];
const loops = loopingContainers.flatMap((name) => ['6cbd9', '7f4wq'].map((tail) => ({ name, pod: `${name}-${tail}` })));

interface Boot {
  readonly index: number;
  readonly startUs: number;
  readonly endUs: number;
}

/** The entries, in the order of their dates. `everyUs`: one container is made in this time while pods crash-loop. */
export function* novemberEntries(everyUs = 2_500_000): Generator<JournalEntry> {
  const boots: Boot[] = [
    { index: 0, startUs: november.firstBootUs, endUs: november.resetUs - 30_000_000 },
    { index: 1, startUs: november.resetUs, endUs: november.secondResetUs - 30_000_000 },
    { index: 2, startUs: november.secondResetUs, endUs: november.endUs },
  ];
  for (const boot of boots) yield* merge(boot.index === 0 ? quietBoot(boot) : sickBoot(boot, everyUs));
}

type Source = Generator<JournalEntry>;

function quietBoot(boot: Boot): Source[] {
  return [start(boot), cron(boot), talk(boot, boot.endUs), jobs(boot)];
}

function sickBoot(boot: Boot, everyUs: number): Source[] {
  const frozenUs = boot.index === 1 ? november.freezeUs : boot.endUs;
  const stalls = boot.index === 1 ? november.stalls : 9;
  return [
    ...[start(boot), cron(boot), talk(boot, frozenUs), refusals(boot, frozenUs), noDriver(boot, frozenUs)],
    ...[backOffs(boot, frozenUs), scopes(boot, frozenUs, everyUs), kernel(boot, frozenUs, stalls)],
    ...(boot.index === 1 ? [leases(boot)] : []),
  ];
}

function* start(boot: Boot): Source {
  yield entry(boot, 0, {
    _TRANSPORT: 'kernel',
    SYSLOG_IDENTIFIER: 'kernel',
    MESSAGE: 'Linux version 6.6.51+rpt-rpi-2712',
  });
  yield entry(boot, 9e6, {
    _PID: '1',
    SYSLOG_IDENTIFIER: 'systemd',
    MESSAGE: 'Starting k3s.service - Lightweight Kubernetes...',
  });
  yield k3s(boot, 14e6, `time="${date(boot.startUs + 14e6)}" level=info msg="Starting k3s v1.31.6+k3s1 (6ab750f9)"`);
}

function* cron(boot: Boot): Source {
  for (let us = 60e6; boot.startUs + us <= boot.endUs; us += 300e6) {
    yield entry(boot, us, { SYSLOG_IDENTIFIER: 'CRON', _SYSTEMD_UNIT: 'cron.service', MESSAGE: '(root) CMD (true)' });
  }
}

/** What k3s says anyway, twice a minute. */
function* talk(boot: Boot, untilUs: number): Source {
  for (let us = 20e6; boot.startUs + us < untilUs; us += 30e6) {
    yield k3s(boot, us, klog(boot, us, 'I', 'scope.go:117] "RemoveContainer" containerID="0f1e2d3c"'));
  }
}

/** A CronJob each ten minutes: the node's own normal. */
function* jobs(boot: Boot): Source {
  for (let us = 600e6, n = 0; boot.startUs + us < boot.endUs; us += 600e6, n++) yield scope(boot, us, n);
}

function* refusals(boot: Boot, untilUs: number): Source {
  for (let us = 25e6; boot.startUs + us < untilUs; us += 600e6) {
    for (let n = 0; n < november.ghosts; n++) yield refusal(boot, us + n * 1_000, n);
  }
}

function refusal(boot: Boot, us: number, n: number): JournalEntry {
  const pod = n === 0 ? 'longhorn-csi-plugin-x7k2p' : `app-${n}-0`;
  const namespace = n < 6 ? 'longhorn-system' : 'default';
  const name = `${pod}_${namespace}_uid-${n}_0`;
  const holder = `${boot.index}${n}`.padEnd(64, 'a');
  const error = `rpc error: code = Unknown desc = failed to reserve sandbox name \\"${name}\\": name \\"${name}\\" is reserved for \\"${holder}\\"`;
  const text = `kuberuntime_sandbox.go:72] "Failed to create sandbox for pod" err="${error}" pod="${namespace}/${pod}"`;
  return k3s(boot, us, klog(boot, us, 'E', text));
}

function* noDriver(boot: Boot, untilUs: number): Source {
  for (let us = 70e6; boot.startUs + us < untilUs; us += 120e6) {
    const error = `MountVolume.MountDevice failed: driver name ${november.driver} not found in the list of registered CSI drivers`;
    yield k3s(boot, us, klog(boot, us, 'E', `nestedpendingoperations.go:348] "Operation failed" err="${error}"`));
  }
}

function* backOffs(boot: Boot, untilUs: number): Source {
  for (let us = 95e6, n = 0; boot.startUs + us < untilUs; us += 15e6, n++) {
    const { name, pod } = loops[n % loops.length] ?? { name: '', pod: '' };
    const inner =
      `failed to \\"StartContainer\\" for \\"${name}\\" with CrashLoopBackOff: \\"back-off 5m0s restarting failed ` +
      `container=${name} pod=${pod}_longhorn-system(uid-${pod})\\"`;
    const text = `pod_workers.go:1301] "Error syncing pod, skipping" err="${inner}" pod="longhorn-system/${pod}"`;
    yield k3s(boot, us, klog(boot, us, 'E', text));
  }
}

function* scopes(boot: Boot, untilUs: number, everyUs: number): Source {
  for (let us = 100e6, n = 0; boot.startUs + us < untilUs; us += everyUs, n++) yield scope(boot, us, n);
}

function scope(boot: Boot, us: number, n: number): JournalEntry {
  const id = `${boot.index}${n}`.padEnd(64, 'f');
  const MESSAGE = `Started cri-containerd-${id}.scope - libcontainer container ${id}.`;
  return entry(boot, us, { _PID: '1', SYSLOG_IDENTIFIER: 'systemd', MESSAGE });
}

/** Stalls that come closer together, each with the task that the kernel names in its dump. */
function* kernel(boot: Boot, untilUs: number, count: number): Source {
  const lengthUs = untilUs - boot.startUs - 400e6;
  for (let n = 0; n < count; n++) {
    const us = Math.round(300e6 + lengthUs * ((n + 1) / (count + 1)) ** 0.7);
    const line = `rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { ${n % 4}-...D } 21 jiffies s: ${n} root: 0x2/.`;
    yield kernelLine(boot, us, line);
    yield kernelLine(boot, us + 50, 'rcu: blocking rcu_node structures (internal RCU debug):');
    yield kernelLine(boot, us + 100, 'task:runc:[2:INIT]   state:R  running task     stack:0     pid:205   ppid:1');
  }
}

/** The lease fails for four minutes, then k3s says nothing more; cron goes on. */
function* leases(boot: Boot): Source {
  const from = november.freezeUs - boot.startUs;
  for (let us = from; us < from + 240e6; us += 10e6) {
    const text = `controller.go:195] "Failed to update lease" err="Put \\"https://127.0.0.1:6443/x\\": context deadline exceeded"`;
    yield k3s(boot, us, klog(boot, us, 'E', text));
  }
}

function kernelLine(boot: Boot, us: number, MESSAGE: string): JournalEntry {
  return entry(boot, us, { _TRANSPORT: 'kernel', SYSLOG_IDENTIFIER: 'kernel', PRIORITY: '3', MESSAGE });
}

function k3s(boot: Boot, us: number, MESSAGE: string): JournalEntry {
  return entry(boot, us, {
    _SYSTEMD_UNIT: 'k3s.service',
    SYSLOG_IDENTIFIER: 'k3s',
    _PID: '812',
    _COMM: 'k3s-server',
    MESSAGE,
  });
}

function klog(boot: Boot, us: number, severity: string, text: string): string {
  const stamp = date(boot.startUs + us);
  return `${severity}${stamp.slice(5, 7)}${stamp.slice(8, 10)} ${stamp.slice(11, 19)}.100000     812 ${text}`;
}

function entry(boot: Boot, us: number, fields: Record<string, string>): JournalEntry {
  const bootId = november.bootIds[boot.index] ?? '';
  return { wallUs: boot.startUs + us, monotonicUs: us + 1_000_000, bootId, fields: { ...fields, _HOSTNAME: 'jarvis' } };
}

/** Merges sources that are each in order. */
function* merge(sources: readonly Source[]): Source {
  const heads = sources.map((source) => ({ source, next: source.next() }));
  for (;;) {
    const [first] = heads
      .filter((each) => !each.next.done)
      .sort((a, b) => (a.next.value?.wallUs ?? 0) - (b.next.value?.wallUs ?? 0));
    if (!first || first.next.done) return;
    yield first.next.value;
    first.next = first.source.next();
  }
}

function at(iso: string): number {
  return Date.parse(iso) * 1_000;
}

function date(us: number): string {
  return new Date(us / 1_000).toISOString();
}
