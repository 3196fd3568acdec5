import * as v from 'valibot';
import { cgroupDrivers, qosClasses } from '../model/cgroups.ts';
import { errorCodes } from '../model/errors.ts';
import { kernelKinds } from '../model/kernel.ts';
import { snapshotFormat } from '../model/snapshot.ts';
import { handlerSchema, kubeletConfigSchema, runtimeConfigSchema } from './config/schema.ts';
import { csiSchema, podDetailFields, volumesSchema } from './csi/schema.ts';
import { big, count, flag, optional, text } from './schema-parts.ts';

/**
 * The snapshot file: the types of src/model as JSON, with every bigint as a decimal text.
 * What a file has beyond them is dropped.
 */

const codes = [...Object.keys(errorCodes), 'ERR_NOT_ASKED'] as (keyof typeof errorCodes | 'ERR_NOT_ASKED')[];
const unknownSchema = v.object({ known: v.literal(false), code: v.picklist(codes), message: text, hint: text });

function observed<S extends v.GenericSchema>(value: S) {
  return v.variant('known', [v.object({ known: v.literal(true), value }), unknownSchema]);
}

const moment = v.object({ wallNs: big, bootId: optional(text), monotonicUs: optional(big) });
const span = { count, first: moment, last: moment };
const sandboxName = { name: text, namespace: text, uid: text, attempt: count };
const podName = v.object({ namespace: text, name: text });

const node = v.object({ hostname: text, kernel: text, arch: text, bootId: text, wallNs: big, uptimeNs: big });
const clock = v.object({ synchronized: optional(flag), hasRtc: optional(flag), rtcNs: optional(big) });
const boot = v.object({
  bootId: text,
  firstNs: big,
  lastNs: big,
  end: v.picklist(['clean', 'unclean', 'running', 'unknown']),
});
const endpoint = v.object({
  endpoint: text,
  from: text,
  others: v.array(text),
  passedOver: optional(v.array(v.object({ endpoint: text, why: text }))),
});
const runtime = v.object({
  endpoint: text,
  endpointFrom: text,
  otherEndpoints: v.array(text),
  name: text,
  version: text,
  runtimeReady: flag,
  networkReady: flag,
  networkMessage: text,
  lastCniLoadStatus: optional(text),
  cniConfDir: optional(text),
  cniBinDir: optional(text),
  rootDir: optional(text),
  stateDir: optional(text),
  cgroupDriver: optional(text),
  handlers: optional(v.array(handlerSchema)),
  defaultHandler: optional(text),
  latencyMs: v.record(text, v.number()),
});
const unit = v.object({ name: text, activeState: text, subState: text, since: optional(moment) });
const sandbox = v.object({
  id: text,
  ...sandboxName,
  state: v.picklist(['ready', 'notready']),
  createdAtNs: big,
  runtimeHandler: text,
  configSource: text,
});
const exit = v.object({
  exitCode: v.pipe(v.number(), v.safeInteger()),
  reason: text,
  startedAtNs: big,
  finishedAtNs: big,
});
const container = v.object({
  id: text,
  sandboxId: text,
  podUid: text,
  name: text,
  attempt: count,
  state: v.picklist(['created', 'running', 'exited', 'unknown']),
  createdAtNs: big,
  exit: optional(exit),
});
const detail = v.object({
  pid: optional(count),
  processStatus: optional(text),
  netNamespaceClosed: optional(flag),
  ip: optional(text),
  hostNetwork: optional(flag),
  cgroupsPath: optional(text),
  systemdCgroup: optional(flag),
});
const kubelet = v.object({
  running: flag,
  pid: optional(count),
  comm: optional(text),
  startedUptimeNs: optional(big),
  version: optional(text),
  versionFrom: optional(text),
});
const nameHeld = v.variant('kind', [
  v.object({ kind: v.literal('sandbox'), asked: v.object(sandboxName), holderId: text, text, ...span }),
  v.object({
    kind: v.literal('container'),
    asked: v.object({ ...sandboxName, container: text }),
    holderId: text,
    text,
    ...span,
  }),
]);
const kubeletLog = v.object({
  since: v.nullable(moment),
  lines: count,
  truncated: flag,
  version: optional(text),
  startedAt: optional(moment),
  flags: optional(v.array(text)),
  nameHeld: v.array(nameHeld),
  stopFailed: v.array(
    v.object({ during: v.picklist(['sync', 'gc']), sandboxId: text, podUid: optional(text), error: text, ...span }),
  ),
  runTimedOut: v.array(v.object({ pod: optional(podName), error: text, ...span })),
  sandboxChanges: optional(
    v.array(
      v.object({
        pod: podName,
        branch: v.picklist(['none', 'several-ready', 'newest-not-ready', 'network-mode', 'no-address']),
        ...span,
      }),
    ),
  ),
  unaskedStops: optional(v.array(v.object({ pod: podName, podUid: optional(text), ...span }))),
  backOffs: optional(v.array(v.object({ pod: podName, podUid: text, container: text, delayMs: v.number(), ...span }))),
  registrationFailed: optional(v.array(v.object({ socket: text, error: text, ...span }))),
  volumeFailed: optional(v.array(v.object({ driver: text, podName: text, podUid: text, error: text, ...span }))),
  rootCgroupRefused: optional(v.array(v.object({ text, missing: v.array(text), ...span }))),
});
const creation = v.object({ sandboxId: text, podUid: optional(text), container: text, attempt: count, ...span });
const runtimeLog = v.object({
  since: v.nullable(moment),
  lines: count,
  truncated: flag,
  startedAt: optional(moment),
  duplicates: v.array(
    v.object({ kind: v.picklist(['sandbox', 'container']), name: text, holderId: text, text, ...span }),
  ),
  fatal: v.array(v.object({ text, ...span })),
  running: v.array(v.object({ pod: v.object(sandboxName), at: moment })),
  settledIds: optional(v.array(text)),
  cniDelFailed: v.array(v.object({ sandboxId: text, error: text, ...span })),
  creations: optional(v.array(creation)),
});
const containerEvents = v.object({ creations: v.array(creation) });
const processes = v.object({
  runtimePid: optional(count),
  runtimeStartedUptimeNs: optional(big),
  holders: v.array(
    v.object({
      pid: count,
      ppid: count,
      comm: text,
      role: v.picklist(['cni', 'runc', 'shim']),
      state: text,
      startedUptimeNs: big,
      cniCommand: optional(text),
      cniContainerId: optional(text),
      pod: optional(podName),
    }),
  ),
});
const pod = v.object({
  name: text,
  namespace: text,
  uid: text,
  phase: text,
  restartPolicy: v.picklist(['Always', 'OnFailure', 'Never']),
  deleting: flag,
  qos: optional(v.picklist(qosClasses)),
  hostNetwork: optional(flag),
  ...podDetailFields,
});

const unitLine = { file: text, line: count, text };
const units = v.object({
  installed: v.array(text),
  calls: v.array(
    v.object({ unit: text, key: text, ...unitLine, by: optional(v.object(unitLine)), hides: optional(text) }),
  ),
  orders: v.array(v.object({ unit: text, key: text, other: text, ...unitLine })),
});

const words = v.array(text);
const cgroupProcesses = v.array(v.object({ pid: count, comm: text }));
const cgroupScopes = v.array(
  v.object({ path: text, delegated: optional(flag), populated: optional(flag), processes: optional(cgroupProcesses) }),
);
const cgroups = v.object({
  mode: v.picklist(['v2', 'v1', 'hybrid']),
  rootControllers: words,
  mountedV1: words,
  required: words,
  kernelWords: words,
  systemdCpuset: optional(flag),
  slices: v.array(
    v.object({
      path: text,
      level: v.picklist(['root', 'above', 'kubepods', 'burstable', 'besteffort']),
      subtreeControl: optional(words),
      populated: optional(flag),
      scopes: optional(cgroupScopes),
    }),
  ),
  pods: v.array(
    v.object({
      uid: text,
      qos: v.picklist(qosClasses),
      driver: v.picklist(cgroupDrivers),
      path: text,
      missing: words,
      lostAt: optional(text),
      bare: optional(flag),
      populated: optional(flag),
      scopes: optional(cgroupScopes),
      others: optional(cgroupScopes),
    }),
  ),
  odd: v.array(v.object({ path: text, uid: optional(text), containerId: text, processes: cgroupProcesses })),
  truncated: flag,
});

const kernelLog = v.object({
  from: v.picklist(['kmsg', 'journal']),
  since: v.nullable(moment),
  lines: count,
  lost: count,
  troubles: v.array(v.object({ kind: v.picklist(kernelKinds), text, ...span })),
  hours: v.array(v.object({ hour: count, counts: v.object(v.entriesFromList(kernelKinds, optional(count))) })),
  tasks: v.array(v.object({ task: text, count })),
});

const controllerWriter = v.object({
  pid: count,
  comm: text,
  unit: optional(text),
  startedUptimeNs: optional(big),
});
const controllerChanges = v.object({
  since: moment,
  until: moment,
  by: v.picklist(['fanotify', 'inotify']),
  writers: v.array(v.object({ path: text, writer: controllerWriter, ...span })),
  changes: optional(
    v.array(
      v.object({
        at: moment,
        path: text,
        controller: text,
        went: v.picklist(['gone', 'back']),
        writers: v.array(controllerWriter),
        after: optional(v.array(controllerWriter)),
      }),
    ),
  ),
  overflows: count,
  truncated: flag,
});

export const snapshotSchema = v.object({
  format: v.literal(snapshotFormat),
  takenBy: text,
  node: observed(node),
  clock: observed(clock),
  boots: observed(v.array(boot)),
  runtime: observed(runtime),
  endpoint: optional(endpoint),
  runtimeUnit: observed(unit),
  sandboxes: observed(v.array(sandbox)),
  containers: observed(v.array(container)),
  details: v.record(text, observed(detail)),
  kubelet: observed(kubelet),
  kubeletLog: observed(kubeletLog),
  runtimeLog: observed(runtimeLog),
  processes: observed(processes),
  pods: observed(v.array(pod)),
  units: optional(observed(units)),
  cgroups: optional(observed(cgroups)),
  runtimeConfig: optional(observed(runtimeConfigSchema)),
  kubeletConfig: optional(observed(kubeletConfigSchema)),
  controllerChanges: optional(observed(controllerChanges)),
  kernelLog: optional(observed(kernelLog)),
  csi: optional(observed(csiSchema)),
  containerEvents: optional(observed(containerEvents)),
  refusals: optional(observed(v.array(nameHeld))),
  volumes: optional(observed(volumesSchema)),
  csiNode: optional(observed(words)),
});
