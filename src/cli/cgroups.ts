import type { CgroupFacts } from '../model/cgroups.ts';
import { ExitCode, SandwardenError } from '../model/errors.ts';
import { type Unknown, valueOr } from '../model/observed.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { Args } from './frame/command.ts';
import type { Io } from './frame/io.ts';
import { lookOnce } from './look.ts';
import { findPod, type NamedPod } from './pod-name.ts';
import { cgroupData } from './render/cgroup-json.ts';
import { cgroupText } from './render/cgroup-text.ts';
import { jsonText } from './render/json.ts';
import { hang } from './render/layout.ts';
import { shown, styleOf } from './render/style.ts';

/** `sandwarden cgroups`. */
export async function run(args: Args, io: Io): Promise<ExitCode> {
  const { snapshot } = await lookOnce(args, io.env, { allCgroups: true });
  const names = podNames(snapshot);
  const whole = treeOf(snapshot);
  const typed = args.value('pod');
  const tree = typed === undefined ? whole : onlyPod(whole, podOf(typed, whole, snapshot).uid);
  const text =
    args.value('output') === 'json'
      ? jsonText(cgroupData(tree, names))
      : cgroupText(tree, names, styleOf(io, args.flag('no-color')));
  io.stdout.write(text);
  const { sandboxes, pods } = snapshot;
  if (tree.pods.length > 0 && !sandboxes.known && !pods.known) sayNameless(sandboxes, args, io);
  const isWell = tree.odd.length === 0 && tree.pods.every((each) => each.missing.length === 0);
  return isWell ? ExitCode.healthy : ExitCode.warnings;
}

/** The tree of a snapshot. Throws why it was not read. */
export function treeOf({ cgroups }: Snapshot): CgroupFacts {
  if (cgroups?.known) return cgroups.value;
  if (cgroups === undefined || cgroups.code === 'ERR_NOT_ASKED') {
    throw new SandwardenError('ERR_NOT_SUPPORTED', 'this snapshot has no cgroup tree', {
      hint: 'It was taken by an earlier version, or of an embedded node: take it again.',
    });
  }
  throw new SandwardenError(cgroups.code, cgroups.message, { hint: cgroups.hint });
}

/** The pods by the runtime's listing, those with a READY sandbox first; the API's where the runtime does not answer. */
export function podNames(snapshot: Snapshot): NamedPod[] {
  const sandboxes = valueOr(snapshot.sandboxes, []).toSorted((a, b) =>
    a.state === b.state ? 0 : a.state === 'ready' ? -1 : 1,
  );
  const all = [...sandboxes, ...valueOr(snapshot.pods, [])];
  const named = all.map(({ uid, namespace, name }) => ({ uid, namespace, name }));
  return [...new Map(named.toReversed().map((each) => [each.uid, each])).values()].toReversed();
}

/** A pod by its name or its uid; a uid that only the tree knows counts too. */
function podOf(typed: string, tree: CgroupFacts, snapshot: Snapshot): { readonly uid: string } {
  const known = [...tree.pods, ...tree.odd].find((each) => each.uid === typed);
  if (known?.uid !== undefined) return { uid: known.uid };
  const { sandboxes, pods } = snapshot;
  if (!sandboxes.known && !pods.known && sandboxes.code !== 'ERR_NOT_ASKED') {
    throw new SandwardenError(sandboxes.code, sandboxes.message, { hint: sandboxes.hint });
  }
  return findPod(typed, podNames(snapshot));
}

/** The tree is whole without them, and a reader wonders. */
function sayNameless({ message, hint }: Unknown, args: Args, io: Io): void {
  const style = styleOf(io, args.flag('no-color'), io.stderr);
  const head = `sandwarden: the names of pods are not known: ${shown(style, message)}`;
  const lines = [...hang(head, style.width, '', '  '), ...hang(shown(style, hint), style.width, '  ')];
  io.stderr.write(`${lines.join('\n')}\n`);
}

/** The part of a tree that one pod has to do with. */
function onlyPod(tree: CgroupFacts, uid: string): CgroupFacts {
  const pods = tree.pods.filter((each) => each.uid === uid);
  const isAbove = (path: string) => path === '/' || pods.some((pod) => pod.path.startsWith(`${path}/`));
  return {
    ...tree,
    slices: tree.slices.filter((each) => isAbove(each.path)),
    pods,
    odd: tree.odd.filter((each) => each.uid === uid),
  };
}
