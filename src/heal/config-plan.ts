import {
  asksRuntime,
  configOf,
  driverAtStart,
  driverNow,
  filesNow,
  isGenerated,
  isRunc,
  liveSettings,
} from '../diagnose/config/drivers.ts';
import { type ConfigEdit, planSystemdCgroup } from '../diagnose/config/drop-in.ts';
import type { Facts } from '../diagnose/facts.ts';
import { sw503 } from '../diagnose/rules/sw503.ts';
import { sw505 } from '../diagnose/rules/sw505.ts';
import { sw506 } from '../diagnose/rules/sw506.ts';
import type { Finding } from '../model/finding.ts';
import { valueOr } from '../model/observed.ts';
import type { Action, FileStep, Plan, Refusal } from '../model/plan.ts';
import type { RuntimeConfigFacts } from '../model/runtime-config.ts';
import { sha256Of } from './backups.ts';
import { isWanted } from './chosen.ts';
import { planHold } from './hold-plan.ts';
import type { Material } from './material.ts';
import { planOrder } from './order-plan.ts';
import type { PlanOptions } from './plan.ts';

/** The cures of SW503 to SW509 that write files and restart units, and what speaks against them. Pure. */
export function planConfig(facts: Facts, options: PlanOptions, material: Material): Plan[] {
  return [
    planOrder(facts, options, material),
    planDriver(facts, options, material),
    planHold(facts, options, material),
  ];
}

/** The runtime would not start again with its files as they are: nothing of ours may restart it. */
export function wouldRefuse(facts: Facts): boolean {
  const config = configOf(facts);
  if (config?.dump !== undefined) return 'refusal' in config.dump;
  return config?.refusal !== undefined;
}

/** A file as the plan shall leave it, and what its owner and mode are then. */
export function stepOf(edit: Pick<ConfigEdit, 'path' | 'after'>, material: Material): FileStep | string {
  const now = material.files.get(edit.path);
  if (now === undefined) return `${edit.path} could not be read`;
  if (now.kind === 'other') return `${edit.path} is left to a person: ${now.why}`;
  const sha256 = sha256Of(edit.after);
  if (now.kind === 'nothing') {
    return { path: edit.path, after: { sha256, mode: 0o644, uid: 0, gid: 0 }, folders: now.missing };
  }
  return { path: edit.path, before: now.identity, after: { ...now.identity, sha256 }, folders: [] };
}

/** The text of a file that the plan may edit; undefined where it is not there or is no text. */
export function textIn(material: Material, path: string): string | undefined {
  const now = material.files.get(path);
  if (now?.kind !== 'file') return undefined;
  const text = now.content.toString('utf8');
  return Buffer.from(text).equals(now.content) ? text : undefined;
}

interface Cure {
  readonly steps: readonly FileStep[];
  readonly edits: readonly ConfigEdit[];
  /** Empty where what is in force is right already. */
  readonly restarts: readonly string[];
  /** Handlers that must be on in the files; those that must be on in force. */
  readonly inFiles: readonly string[];
  readonly inForce: readonly string[];
}

function planDriver(facts: Facts, options: PlanOptions, material: Material): Plan {
  const config = configOf(facts);
  const found = [sw503, sw505, sw506]
    .flatMap((rule) => rule.examine(facts))
    .filter((each) => each.severity !== 'info' && isWanted(options, each.code, each.object.name, '', ''));
  const [first] = found;
  if (config === undefined || first === undefined) return planOwed(facts, options, material);
  const refused = (reason: string, lift?: string): Plan => {
    const refusal = { object: config.file, target: config.file, reason, ...(lift === undefined ? {} : { lift }) };
    return { actions: [], refusals: [{ ...refusal, code: first.code } satisfies Refusal], pods: [] };
  };
  const cure = cureOf(facts, config, material);
  if (typeof cure === 'string') return refused(cure);
  if (!options.allow.includes('disruptive')) return refused(wouldDo(cure), '--allow=disruptive');
  const pods = [...new Set(found.flatMap((each) => each.pods))].sort();
  return { actions: actionsOf(cure, config, first, facts), refusals: [], pods };
}

/** The last step of a heal that was cut off before it. */
function planOwed(facts: Facts, options: PlanOptions, { owed }: Material): Plan {
  const started = valueOr(facts.snapshot.kubelet, undefined)?.startedUptimeNs;
  if (owed === undefined || started === undefined || started > owed.sinceUptimeNs) return nothing;
  const { unit, code } = owed;
  if (!isWanted(options, code, unit, '', '')) return nothing;
  const action: Action = { code, tier: 'disruptive', ...restartingKubelet(unit, 'the runtime') };
  if (options.allow.includes('disruptive')) return { actions: [action], refusals: [], pods: [] };
  const reason = `would restart ${unit}: an earlier run was cut off before it`;
  return {
    actions: [],
    refusals: [{ object: unit, target: unit, code, reason, lift: '--allow=disruptive' }],
    pods: [],
  };
}

const nothing: Plan = { actions: [], refusals: [], pods: [] };

function cureOf(facts: Facts, config: RuntimeConfigFacts, material: Material): Cure | string {
  if (wouldRefuse(facts)) return 'the runtime would not start with its files as they are: mend them first';
  if (driverNow(facts)?.driver !== 'systemd')
    return 'kubelet does not use the systemd driver: a person decides for one';
  if (config.rule === 'cri-o') return 'CRI-O has no way to try a file before its restart: set cgroup_manager by hand';
  const runtimeUnit = valueOr(facts.snapshot.runtimeUnit, undefined)?.name;
  const { kubeletUnit } = material;
  if (runtimeUnit === undefined) return 'the unit the runtime runs in is not known';
  if (kubeletUnit === undefined) return 'the unit kubelet runs in is not known';
  const units = [...new Set([runtimeUnit, kubeletUnit])];
  const plan = planSystemdCgroup(config, (path) => textIn(material, path), units);
  if (!plan.ok) return plan.why;
  const steps = plan.edits.map((each) => stepOf(each, material));
  const obstacle = steps.find((each) => typeof each === 'string');
  if (obstacle !== undefined) return obstacle;
  const runc = (filesNow(config)?.handlers ?? []).filter(isRunc);
  if (plan.edits.length === 0 && runc.some((each) => !each.systemdCgroup)) {
    return 'containerd reads its files in another way than Sandwarden does';
  }
  const isOff = sw503.examine(facts).some((each) => each.severity !== 'info');
  if (plan.edits.length === 0 && !isOff)
    return 'a restart would change other values than SystemdCgroup: a person decides';
  if (isOff && willChangeDriver(facts))
    return "kubelet's own files name another driver by now: its restart would change it";
  return {
    steps: steps.filter((each) => typeof each !== 'string'),
    edits: plan.edits,
    restarts: isOff ? units : [],
    inFiles: plan.handlers,
    inForce: (liveSettings(facts)?.handlers ?? []).filter(isRunc).map((each) => each.name),
  };
}

/** Where it asks the runtime, that tells it systemd after its restart. */
function willChangeDriver(facts: Facts): boolean {
  const isTold = asksRuntime(facts) && valueOr(facts.snapshot.runtime, undefined)?.cgroupDriver !== undefined;
  return !isTold && driverAtStart(facts)?.driver === 'cgroupfs';
}

function wouldDo({ edits, restarts }: Cure): string {
  const write = `write SystemdCgroup = true into ${edits.map((each) => each.path).join(', ')}`;
  const restart = `restart ${restarts.join(', then ')}`;
  const parts = [...(edits.length > 0 ? [write] : []), ...(restarts.length > 0 ? [restart] : [])];
  return `would ${parts.join(' and ')}`;
}

function actionsOf(cure: Cure, config: RuntimeConfigFacts, finding: Finding, facts: Facts): Action[] {
  const { edits, restarts } = cure;
  const base = { code: finding.code, tier: 'disruptive' } as const;
  const [runtime, kubelet] = restarts;
  return [
    ...(edits.length > 0 ? [{ ...base, ...writing(cure, config) }] : []),
    ...(runtime === undefined ? [] : [{ ...base, ...restartingRuntime(runtime, kubelet, cure, facts) }]),
    ...(kubelet === undefined ? [] : [{ ...base, ...restartingKubelet(kubelet, runtime ?? '') }]),
  ];
}

type Part = Omit<Action, 'code' | 'tier'>;

function writing({ edits, steps, restarts, inFiles }: Cure, config: RuntimeConfigFacts): Part {
  const handlers = inFiles.join(', ');
  const isTemplate = isGenerated(config);
  const tried = `containerd takes it with SystemdCgroup = true for ${handlers} (config dump)`;
  return {
    kind: 'write-config',
    target: config.file,
    object: edits.map((each) => each.path).join(', '),
    reason: `SystemdCgroup is off for ${handlers} by its files, and kubelet uses the systemd driver`,
    precondition: isTemplate
      ? 'the template is as it was read'
      : `it is as it was read, and ${tried}; else it is put back`,
    expects:
      restarts.length === 0
        ? 'its next start keeps what is in force now; nothing is restarted for it'
        : 'it counts once the runtime is restarted',
    guard: {
      kind: 'write-config',
      files: steps,
      ...(isTemplate ? {} : { dump: { file: config.file, on: inFiles } }),
      restarts,
    },
    diff: edits.map((each) => each.diff).join(''),
    contents: new Map(edits.map((each) => [each.path, each.after])),
  };
}

function restartingRuntime(unit: string, kubelet: string | undefined, { inForce }: Cure, facts: Facts): Part {
  const running = [...facts.pods.values()].filter((view) => view.sandboxes.some((each) => each.ready)).length;
  const pods = running === 1 ? 'the 1 running pod stays' : `the ${running} running pods stay`;
  const both = kubelet === undefined ? '; kubelet runs in the same unit' : '';
  return {
    kind: 'restart-runtime',
    target: unit,
    object: unit,
    reason: `it reads its files only at its start${both}`,
    precondition: 'the same runtime still runs; no other restart of it within 30 min',
    expects:
      `SystemdCgroup = true is in force (CRI Status); ${pods} up, outside of their slices, until kubelet makes them ` +
      'anew; new ones are made in their slices',
    guard: { kind: 'restart-runtime', unit, on: inForce },
  };
}

function restartingKubelet(unit: string, runtime: string): Part {
  return {
    kind: 'restart-kubelet',
    target: unit,
    object: unit,
    reason: `it learns the cgroup driver at its start, so it comes after ${runtime}`,
    precondition: 'the same kubelet still runs; no other restart of it within 30 min',
    expects:
      'each pod outside of its slice is killed and made anew once more, when kubelet next misses a controller; ' +
      'deleting those pods does it at once',
    guard: { kind: 'restart-kubelet', unit },
  };
}
