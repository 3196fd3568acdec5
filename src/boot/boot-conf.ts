import { join } from 'node:path';
import { SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import { safeText } from '../model/safe-text.ts';
import { readText } from '../observe/read-file.ts';

/** Where `early.sh` and `sandwarden boot` read how this node is laid out; the installer writes it. */
export const bootConfPath = '/etc/sandwarden/boot.conf';

/** `containerd`: a unit of its own, kubelet another. `k3s`: k3s or RKE2, whose child containerd is. */
export const bootLayouts = ['containerd', 'k3s'] as const;
export type BootLayout = (typeof bootLayouts)[number];

export interface BootConf {
  /** Node and the program that `early.sh` starts with it. */
  readonly node: string;
  readonly program: string;
  readonly layout: BootLayout;
  /** containerd's `root`. */
  readonly containerdRoot: string;
  /** k3s' or RKE2's data-dir; absent on the other layout. */
  readonly dataDir?: string;
  /** Whether the clock may be moved forward. */
  readonly clockFloor: boolean;
  /** How far a clock that was set before may be moved, days. */
  readonly forwardDays: number;
  /** How long a time synchronisation is waited for. */
  readonly syncWaitMs: number;
  /** Whether the node tells its cluster of an unclean boot (publish.ts). */
  readonly publish: boolean;
  /** Files or patterns that `early.sh` compares with now. */
  readonly witnesses: readonly string[];
}

/** What holds where the file does not say otherwise. */
export const bootDefaults: BootConf = {
  node: '/usr/bin/node',
  program: '/usr/local/lib/sandwarden/sandwarden.js',
  layout: 'containerd',
  containerdRoot: '/var/lib/containerd',
  clockFloor: true,
  forwardDays: limits.clockForwardDays,
  syncWaitMs: limits.timeSyncWaitMs,
  publish: true,
  witnesses: witnessesOf('/var/lib/containerd'),
};

/**
 * What `early.sh` looks at, for containerd's `root`. Not the journal that is being written: journald opens it before
 * our unit runs. A journal that was cut off keeps its date: journald only renames it (`.journal~`).
 */
export function witnessesOf(containerdRoot: string): string[] {
  return [
    metaDbOf(containerdRoot),
    sandboxesOf(containerdRoot),
    '/var/lib/sandwarden/heartbeat',
    '/var/lib/systemd/timesync/clock',
    '/var/lib/private/systemd/timesync/clock',
    '/var/log/journal/*/*.journal~',
  ];
}

/** containerd's database (facts: bbolt, written at each start). */
export function metaDbOf(containerdRoot: string): string {
  return join(containerdRoot, 'io.containerd.metadata.v1.bolt/meta.db');
}

/** One folder a sandbox; the name of the plugin stayed in 2.x. */
export function sandboxesOf(containerdRoot: string): string {
  return join(containerdRoot, 'io.containerd.grpc.v1.cri/sandboxes');
}

/** The text of the file: one KEY=VALUE a line, read by `early.sh` without a shell's expansion. */
export function renderBootConf(conf: BootConf): string {
  const { node, program, layout, containerdRoot, dataDir, clockFloor, forwardDays, syncWaitMs } = conf;
  return [
    '# Written by `sandwarden install`. Read by early.sh before the runtime starts, never run as a script.',
    `node=${node}`,
    `program=${program}`,
    `layout=${layout}`,
    `containerd-root=${containerdRoot}`,
    ...(dataDir === undefined ? [] : [`data-dir=${dataDir}`]),
    '# Whether the clock may be moved forward, and at most how many days (more where it was never set).',
    `clock-floor=${clockFloor ? 'yes' : 'no'}`,
    `forward-days=${forwardDays}`,
    '# Seconds to wait for a time synchronisation that is set up, only where the clock is behind.',
    `sync-wait=${syncWaitMs / 1_000}`,
    "# Whether an unclean boot is written into this node's object in the cluster, for `sandwarden fleet`.",
    `publish=${conf.publish ? 'yes' : 'no'}`,
    '# If one of these is dated after now, the clock is behind and Node is started.',
    ...conf.witnesses.map((each) => `witness=${each}`),
    '',
  ].join('\n');
}

/** The file's text with defaults for what it does not say. Throws ERR_CONFIG with the line. */
export function parseBootConf(text: string, path = bootConfPath): BootConf {
  const values = new Map<string, string>();
  const witnesses: string[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const at = line.indexOf('=');
    const [key, value] = [line.slice(0, at), line.slice(at + 1)];
    const isGood = keys.get(key);
    if (at < 1 || isGood === undefined || !isGood(value)) {
      throw new SandwardenError(
        'ERR_CONFIG',
        `${path}, line ${index + 1}: '${safeText(line, 100)}' is not understood`,
        {
          hint: '`sandwarden install` writes the file anew.',
        },
      );
    }
    if (key === 'witness') witnesses.push(value);
    else values.set(key, value);
  }
  const containerdRoot = values.get('containerd-root') ?? bootDefaults.containerdRoot;
  const dataDir = values.get('data-dir');
  return {
    node: values.get('node') ?? bootDefaults.node,
    program: values.get('program') ?? bootDefaults.program,
    layout: values.get('layout') === 'k3s' ? 'k3s' : 'containerd',
    containerdRoot,
    ...(dataDir === undefined ? {} : { dataDir }),
    clockFloor: values.get('clock-floor') !== 'no',
    forwardDays: Number(values.get('forward-days') ?? bootDefaults.forwardDays),
    syncWaitMs: Number(values.get('sync-wait') ?? bootDefaults.syncWaitMs / 1_000) * 1_000,
    publish: values.get('publish') !== 'no',
    witnesses: witnesses.length > 0 ? witnesses : witnessesOf(containerdRoot),
  };
}

/** The file of this node, or the defaults where there is none. Throws ERR_CONFIG, ERR_FILE, ERR_FORBIDDEN. */
export async function readBootConf(root = ''): Promise<BootConf> {
  const text = await readText(`${root}${bootConfPath}`, limits.configBytes);
  return text === undefined ? bootDefaults : parseBootConf(text);
}

const isPath = (value: string) => /^\/[^\n\0]{1,4000}$/.test(value);
const isYesOrNo = (value: string) => value === 'yes' || value === 'no';
const keys: ReadonlyMap<string, (value: string) => boolean> = new Map([
  ['node', isPath],
  ['program', isPath],
  ['layout', (value) => bootLayouts.some((each) => each === value)],
  ['containerd-root', isPath],
  ['data-dir', isPath],
  ['clock-floor', isYesOrNo],
  ['forward-days', (value) => /^\d{1,4}$/.test(value)],
  ['publish', isYesOrNo],
  ['sync-wait', (value) => /^\d{1,2}(\.\d)?$/.test(value)],
  ['witness', isPath],
]);
