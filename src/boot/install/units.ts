import { posix } from 'node:path';
import { limits } from '../../model/limits.ts';
import { type BootConf, bootConfPath, renderBootConf, witnessesOf } from '../boot-conf.ts';
import { flags, runDir } from '../record.ts';
import { hardened, needsDaemons, quick, withClock } from './hardening.ts';
import type { Layout } from './layouts.ts';

/** A file that `sandwarden install` writes; its folder is made where it is not there. */
export interface PlannedFile {
  readonly path: string;
  readonly mode: number;
  readonly content: string;
}

/** A link that enables a unit, as `systemctl enable` makes it. */
export interface PlannedLink {
  readonly path: string;
  readonly target: string;
}

/** The program that the units start. */
export interface Program {
  readonly node: string;
  /** sandwarden.js. */
  readonly script: string;
  /** early.sh. */
  readonly early: string;
}

export interface UnitOptions {
  readonly clockFloor: boolean;
  readonly bootHeal: boolean;
  /** How long a time synchronisation is waited for where the clock is behind. */
  readonly syncWaitMs: number;
  /** Whether the node tells its cluster of an unclean boot. */
  readonly publish: boolean;
  /** Limit of the healing before kubelet. */
  readonly limitMs: number;
}

export interface InstallPlan {
  readonly files: readonly PlannedFile[];
  readonly links: readonly PlannedLink[];
}

export const unitFolder = '/etc/systemd/system';

/** The units by what they do; status asks for all of them. */
export const unitNames = {
  clock: 'sandwarden-clock.service',
  heartbeat: 'sandwarden-heartbeat.service',
  timer: 'sandwarden-heartbeat.timer',
  boot: 'sandwarden-boot.service',
  after: 'sandwarden-boot-after.service',
} as const;

/** Every file and link of the boot hook for a node of this layout. Pure. */
export function planUnits(layout: Layout, program: Program, options: UnitOptions): InstallPlan {
  const parts: Unit[] = [clockUnit(layout, program, options), heartbeatUnit(program), heartbeatTimer()];
  if (options.bootHeal) parts.push(bootUnit(layout, program, options), afterUnit(layout, program, options));
  const units = parts.map(({ name, sections }) => ({
    path: `${unitFolder}/${name}`,
    mode: 0o644,
    content: `${heading}\n${sections.map(text).join('\n')}`,
  }));
  const links = parts.flatMap(({ name, wantedBy }) =>
    wantedBy.map((target) => ({ path: `${unitFolder}/${target}.wants/${name}`, target: `${unitFolder}/${name}` })),
  );
  const conf = { path: bootConfPath, mode: 0o644, content: renderBootConf(confOf(layout, program, options)) };
  return { files: [conf, ...units], links };
}

const heading = "# Written by 'sandwarden install'; 'sandwarden uninstall' takes it away.";

interface Unit {
  readonly name: string;
  readonly sections: readonly Section[];
  readonly wantedBy: readonly string[];
}

/** A section by its name and its lines; a line is a comment or an assignment. */
type Section = readonly [name: string, lines: readonly string[]];

function text([name, lines]: Section): string {
  return `[${name}]\n${lines.join('\n')}\n`;
}

function confOf(layout: Layout, { node, script }: Program, options: UnitOptions): BootConf {
  return {
    node,
    program: script,
    layout: layout.boot,
    containerdRoot: layout.containerdRoot,
    ...(layout.dataDir === undefined ? {} : { dataDir: layout.dataDir }),
    clockFloor: options.clockFloor,
    forwardDays: limits.clockForwardDays,
    syncWaitMs: options.syncWaitMs,
    publish: options.publish,
    witnesses: witnessesOf(layout.containerdRoot),
  };
}

function clockUnit({ runtimeUnit, kubeletUnits }: Layout, program: Program, { syncWaitMs }: UnitOptions): Unit {
  const { early } = program;
  const runtime = runtimeUnit === undefined ? [] : [runtimeUnit];
  const wantedBy = ['multi-user.target'];
  return {
    name: unitNames.clock,
    wantedBy,
    sections: [
      [
        'Unit',
        [
          'Description=Sandwarden: how the last boot ended, and whether the clock is behind it',
          // Where timesyncd puts the clock right by its own stamp, that comes first.
          'After=local-fs.target time-set.target',
          `Before=${[...runtime, ...kubeletUnits].join(' ')}`,
          'RequiresMountsFor=/var/lib/sandwarden',
          `ConditionPathExists=${path(early)}`,
        ],
      ],
      [
        'Service',
        [
          'Type=oneshot',
          'RemainAfterExit=yes',
          `ExecStart=-/bin/sh ${word(early)} start`,
          `ExecStop=-/bin/sh ${word(early)} stop`,
          '# Node is started only where the clock is behind; on a small board that has just booted it takes its time.',
          `TimeoutStartSec=${seconds(syncWaitMs + limits.bootHealMs)}`,
          'TimeoutStopSec=5',
          `RuntimeDirectory=${posix.basename(runDir)}`,
          'RuntimeDirectoryPreserve=yes',
          ...quick,
        ],
      ],
      ['Install', [`WantedBy=${wantedBy.join(' ')}`]],
    ],
  };
}

function heartbeatUnit(program: Program): Unit {
  const { early } = program;
  return {
    name: unitNames.heartbeat,
    wantedBy: [],
    sections: [
      [
        'Unit',
        [
          'Description=Sandwarden: write down that this boot still lives',
          `After=${unitNames.clock}`,
          'RequiresMountsFor=/var/lib/sandwarden',
          `ConditionPathExists=${path(early)}`,
        ],
      ],
      [
        'Service',
        [
          'Type=oneshot',
          `ExecStart=-/bin/sh ${word(early)} beat`,
          'TimeoutStartSec=30',
          '# Else the journal would have three lines of it each time.',
          'LogLevelMax=notice',
          ...reaching(program, hardened),
        ],
      ],
    ],
  };
}

function heartbeatTimer(): Unit {
  const wantedBy = ['timers.target'];
  return {
    name: unitNames.timer,
    wantedBy,
    sections: [
      ['Unit', ['Description=Sandwarden: write down each few minutes that this boot still lives']],
      [
        'Timer',
        [
          '# By the time since boot: a clock that jumps does not move it.',
          'OnBootSec=5min',
          'OnUnitActiveSec=5min',
          'AccuracySec=30s',
        ],
      ],
      ['Install', [`WantedBy=${wantedBy.join(' ')}`]],
    ],
  };
}

function bootUnit(layout: Layout, program: Program, { limitMs, clockFloor }: UnitOptions): Unit {
  const { runtimeUnit, kubeletUnits, boot, endpoint } = layout;
  const isChild = boot === 'k3s';
  const after = [unitNames.clock, ...(runtimeUnit === undefined ? [] : [runtimeUnit])];
  const args = [
    'boot heal',
    `--layout ${boot}`,
    `--limit ${seconds(limitMs)}`,
    ...(clockFloor ? [] : ['--no-clock-floor']),
    ...(isChild || endpoint === undefined
      ? []
      : [`--runtime-endpoint ${word(`unix://${endpoint.replace(/^unix:\/\//, '')}`)}`]),
  ];
  return {
    name: unitNames.boot,
    wantedBy: kubeletUnits,
    sections: [
      [
        'Unit',
        [
          `Description=Sandwarden: heal the sandboxes of the last boot before ${kubeletUnits.join(', ')}`,
          `After=${after.join(' ')}`,
          `Before=${kubeletUnits.join(' ')}`,
          ...reasons(program, 'heal-started'),
        ],
      ],
      [
        'Service',
        [
          'Type=oneshot',
          `ExecStartPre=-/bin/touch ${runDir}/heal-started ${runDir}/${flags.afterKubelet}`,
          `ExecStart=${command(program)} ${args.join(' ')}`,
          '# Its own limit ends it first; this one ends what hangs. Either way kubelet starts.',
          `TimeoutStartSec=${seconds(limitMs + 2 * limits.interruptGraceMs)}`,
          `TimeoutStopSec=${isChild ? seconds(limits.containerdStopMs + 5_000) : 5}`,
          ...(isChild ? needsDaemons : reaching(program, withClock(hardened))),
        ],
      ],
      ['Install', [`WantedBy=${kubeletUnits.join(' ')}`]],
    ],
  };
}

function afterUnit({ kubeletUnits, endpoint, boot }: Layout, program: Program, { publish }: UnitOptions): Unit {
  const socket =
    endpoint === undefined ? '' : ` --runtime-endpoint ${word(`unix://${endpoint.replace(/^unix:\/\//, '')}`)}`;
  const mostMs = limits.bootWatchMs + 4 * limits.interruptGraceMs + (publish ? limits.publishMs : 0);
  return {
    name: unitNames.after,
    wantedBy: kubeletUnits,
    sections: [
      [
        'Unit',
        [
          `Description=Sandwarden: heal what keeps pods from starting after ${kubeletUnits.join(', ')}`,
          `After=${[unitNames.boot, ...kubeletUnits].join(' ')}`,
          `ConditionPathExists=|${runDir}/${flags.afterKubelet}`,
          ...(publish ? [`ConditionPathExists=|${runDir}/${flags.unclean}`] : []),
          `ConditionPathExists=!${runDir}/after-started`,
          `ConditionPathExists=${path(program.script)}`,
        ],
      ],
      [
        'Service',
        [
          '# The boot is not kept waiting for it.',
          'Type=exec',
          `ExecStartPre=-/bin/touch ${runDir}/after-started`,
          `ExecStart=${command(program)} boot heal --after-kubelet --layout ${boot}${socket}`,
          `RuntimeMaxSec=${seconds(mostMs)}`,
          'TimeoutStopSec=15',
          ...reaching(program, hardened),
        ],
      ],
      ['Install', [`WantedBy=${kubeletUnits.join(' ')}`]],
    ],
  };
}

/** Only with a reason, only once a boot (kubelet's restarts want this unit again), only where the program is there. */
function reasons({ script }: Program, started: string): string[] {
  return [
    `ConditionPathExists=|${runDir}/${flags.clockBehind}`,
    `ConditionPathExists=|${runDir}/${flags.unclean}`,
    `ConditionPathExists=!${runDir}/${started}`,
    `ConditionPathExists=${path(script)}`,
  ];
}

/** A program that --program names in a home must be seen there. */
function reaching({ node, script, early }: Program, lines: readonly string[]): readonly string[] {
  const inHome = [node, script, early].some((each) => /^\/(home|root|run\/user)\//.test(each));
  return inHome ? lines.map((line) => (line === 'ProtectHome=yes' ? 'ProtectHome=read-only' : line)) : lines;
}

function command({ node, script }: Program): string {
  return `${word(node)} ${word(script)}`;
}

function seconds(ms: number): number {
  return Math.ceil(ms / 1_000);
}

/** One word of a command line (systemd.service(5), "Command lines"). */
function word(value: string): string {
  const plain = value.replaceAll('%', '%%').replaceAll('$', '$$$$');
  return /^[\w@%+=:,./$-]+$/.test(plain) ? plain : `"${plain.replace(/["\\]/g, '\\$&')}"`;
}

/** A path as the value of a condition: specifiers are expanded there, nothing else. */
function path(value: string): string {
  return value.replaceAll('%', '%%');
}
