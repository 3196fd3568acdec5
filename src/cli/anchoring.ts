import { holdNode, releaseNode, slicesWithUnits } from '../boot/anchors/node-anchors.ts';
import { nodeUnit } from '../boot/anchors/node-units.ts';
import type { CgroupFacts } from '../model/cgroups.ts';
import type { Clock } from '../model/clock.ts';
import { ExitCode, SandwardenError } from '../model/errors.ts';
import { safeText } from '../model/safe-text.ts';
import type { Rooted } from '../observe/installed/rooted.ts';
import { anchorName } from '../systemd/anchor-names.ts';
import {
  type AnchorTarget,
  describeTarget,
  holdSlice,
  listAnchors,
  meaningOf,
  releaseAnchor,
} from '../systemd/anchors.ts';
import type { SystemdBus } from '../systemd/bus.ts';
import { holderCommand } from '../systemd/holder.ts';
import { nodeSlices, podTarget, sliceTarget } from './anchor-target.ts';
import type { Args } from './frame/command.ts';
import type { Io } from './frame/io.ts';
import { didYouMean } from './frame/suggest.ts';
import type { NamedPod } from './pod-name.ts';
import {
  anchorsText,
  type HeldSlice,
  heldText,
  type ListedAnchor,
  nodeScript,
  scopeScript,
} from './render/anchor-text.ts';
import { jsonText } from './render/json.ts';
import { styleOf } from './render/style.ts';

/** What anchoring reads and changes; tests hand in their own. */
export interface AnchorNode {
  readonly files: Rooted;
  readonly clock: Pick<Clock, 'uptimeNs'>;
  openSystemd(): Promise<SystemdBus>;
  /** Throws as readCgroups does. */
  readTree(): Promise<CgroupFacts>;
  /** Those of the runtime, the ones that are up first. */
  listPods(): Promise<readonly NamedPod[]>;
}

type Asked = Pick<Args, 'argument' | 'second' | 'flag' | 'value'>;

/** `sandwarden anchor` on a node. Throws ERR_USAGE for options that do not go together. */
export async function anchor(node: AnchorNode, args: Asked, io: Io): Promise<ExitCode> {
  checkOptions(args);
  const write = (data: object, text: (style: ReturnType<typeof styleOf>) => string) => {
    const style = styleOf(io, args.flag('no-color'));
    io.stdout.write(
      args.value('output') === 'json' ? jsonText({ format: 'sandwarden.anchors/1', ...data }) : text(style),
    );
  };
  if (args.argument === undefined && args.flag('dry-run')) {
    io.stdout.write(await script(node, args));
    return ExitCode.healthy;
  }
  // A pod that is not there, or a driver without slices, is said before systemd is asked.
  const wanted = args.argument === undefined ? await targetOf(node, args) : undefined;
  await using bus = await node.openSystemd();
  if (wanted !== undefined) {
    const held = await hold(node, bus, wanted, args.flag('until-reboot'));
    write({ held }, (style) => heldText(held, style));
    return held.some((each) => each.missing.length > 0) ? ExitCode.warnings : ExitCode.healthy;
  }
  const anchors = await listed(node, bus);
  if (args.argument === 'list') {
    write({ anchors }, (style) => anchorsText(anchors, node.clock.uptimeNs(), style));
    return ExitCode.healthy;
  }
  const chosen = args.flag('all') ? anchors : matching(anchors, args.second ?? '');
  for (const each of chosen) await release(node, bus, each);
  const released = chosen.map((each) => each.name);
  write({ released }, () =>
    released.length === 0 ? 'Nothing is held here.\n' : `Released: ${released.join(', ')}.\n`,
  );
  return ExitCode.healthy;
}

type Wanted = { readonly one: AnchorTarget } | { readonly node: readonly string[] };

/** Throws ERR_USAGE for a pod that is not there, ERR_NOT_SUPPORTED where systemd has no part in its cgroup. */
async function targetOf(node: AnchorNode, args: Asked): Promise<Wanted> {
  const [pod, slice] = [args.value('pod'), args.value('slice')];
  if (slice !== undefined) return { one: sliceTarget(slice) };
  const tree = await node.readTree();
  if (pod === undefined) return { node: nodeSlices(tree) };
  return { one: await podTarget(pod, tree, node.listPods) };
}

async function hold(node: AnchorNode, bus: SystemdBus, wanted: Wanted, untilReboot: boolean): Promise<HeldSlice[]> {
  if ('node' in wanted) {
    const lasting = untilReboot ? 'boot' : 'always';
    const held = await holdNode(node.files, bus, { slices: wanted.node, lasting });
    return withMissing(
      node,
      held.map((each) => ({ ...each, lasts: lasting })),
    );
  }
  const { name, slice, made } = await holdSlice(bus, wanted.one);
  return withMissing(node, [{ name, slice, result: made ? 'held' : 'already', lasts: 'slice' }]);
}

/** What the pods of a held slice lack all the same. hugetlb is kubelet's to hand down, with a class's first pod. */
async function withMissing(node: AnchorNode, held: readonly Omit<HeldSlice, 'missing'>[]): Promise<HeldSlice[]> {
  const { pods } = await node.readTree();
  return held.map((each) => {
    const mine = pods.filter(({ path }) => path.split('/').slice(-2).includes(each.slice));
    return { ...each, missing: [...new Set(mine.flatMap((pod) => pod.missing))] };
  });
}

/** What systemd has loaded, and units on the disk that wait for their slice. */
async function listed(node: AnchorNode, bus: SystemdBus): Promise<ListedAnchor[]> {
  const anchors: ListedAnchor[] = await listAnchors(bus);
  const names = new Set(anchors.map((each) => each.name));
  const waiting = (await slicesWithUnits(node.files)).flatMap(({ slice, lasting }): ListedAnchor[] => {
    const name = anchorName(slice, 'service');
    return names.has(name) ? [] : [{ name, slice, ...meaningOf(slice), lasts: lasting, state: 'waiting' }];
  });
  return [...anchors, ...waiting].sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function release(node: AnchorNode, bus: SystemdBus, { name, slice }: ListedAnchor): Promise<void> {
  if (name === anchorName(slice, 'service')) await releaseNode(node.files, bus, slice);
  else await releaseAnchor(bus, name);
}

/** By its name with or without its kind, its slice, or what it holds (`default/web`, `burstable`). */
function matching(anchors: readonly ListedAnchor[], typed: string): ListedAnchor[] {
  const found = anchors.filter(({ name, slice, holds }) => {
    return [name, name.replace(/\.(scope|service)$/, ''), slice, holds].includes(typed);
  });
  if (found.length > 0) return found;
  throw new SandwardenError('ERR_USAGE', `there is no anchor '${safeText(typed, 100)}'`, {
    hint: `${didYouMean(
      typed,
      anchors.flatMap((each) => [each.name, each.holds]),
    )}'sandwarden anchor list' shows them.`,
  });
}

/** What would be done, as a shell script. */
async function script(node: AnchorNode, args: Asked): Promise<string> {
  const wanted = await targetOf(node, args);
  const command = await holderCommand(node.files.root);
  if ('node' in wanted) {
    const lasting = args.flag('until-reboot') ? 'boot' : 'always';
    return nodeScript(wanted.node.map((slice) => nodeUnit(slice, command, lasting)));
  }
  const { slice } = wanted.one;
  return scopeScript({ name: anchorName(slice), slice, description: describeTarget(wanted.one), command });
}

function checkOptions(args: Asked): void {
  const { argument } = args;
  const targets = (['pod', 'slice', 'node'] as const).filter((each) => args.flag(each));
  const given = (names: readonly string[]) => names.filter((each) => args.flag(each)).map((each) => `'--${each}'`);
  if (argument === undefined) {
    if (args.flag('all')) throw usage("'--all' belongs to 'anchor release'", "Did you mean '--node'?");
    if (targets.length !== 1) {
      const found = targets.length === 0 ? 'nothing to hold was named' : `${given(targets).join(' and ')} contradict`;
      throw usage(`anchor: ${found}`, "Write one of '--node', '--pod NAMESPACE/NAME' and '--slice SLICE'.");
    }
    if (args.flag('until-reboot') && !args.flag('node')) {
      throw usage("'--until-reboot' belongs to '--node'", "A pod's anchor ends with its pod.");
    }
    return;
  }
  const stray = given([...targets, 'until-reboot', 'dry-run', ...(argument === 'list' ? ['all'] : [])]);
  if (stray.length > 0)
    throw usage(`'anchor ${argument}' does not take ${stray[0]}`, "See 'sandwarden anchor --help'.");
  if (argument === 'release' && (args.second === undefined) === !args.flag('all')) {
    throw usage("'anchor release' needs a NAME, or '--all'", "'sandwarden anchor list' shows them.");
  }
}

function usage(message: string, hint: string): SandwardenError {
  return new SandwardenError('ERR_USAGE', message, { hint });
}
