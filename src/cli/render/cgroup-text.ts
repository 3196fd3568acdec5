import {
  type CgroupFacts,
  type CgroupScope,
  type CgroupSlice,
  isAnchor,
  isUnitDirectory,
  type PodCgroup,
} from '../../model/cgroups.ts';
import type { NamedPod } from '../pod-name.ts';
import { hang, wrap } from './layout.ts';
import { marksOf, paint, type Style, shown } from './style.ts';

/** A line of the tree and what hangs below it. */
interface Branch {
  readonly label: string;
  readonly below: readonly Branch[];
}

/** The report of `cgroups`: what kubelet requires, the tree, and what is where no pod should be. */
export function cgroupText(tree: CgroupFacts, names: readonly NamedPod[], style: Style): string {
  const lines = headLines(tree, style);
  const write = new TreeWriter(tree, names, style);
  for (const root of write.roots()) lines.push('', ...linesOf(root, style));
  const strays = write.strays();
  if (strays.length > 0) {
    lines.push('', paint(style, ['bold', 'red'], 'Where no pod should be'));
    for (const stray of strays) lines.push(...linesOf(stray, style));
  }
  if (tree.truncated) lines.push('', 'More was there than is looked at; the rest is left out.');
  return `${lines.join('\n')}\n`;
}

function headLines(tree: CgroupFacts, style: Style): string[] {
  const kind = { v2: 'cgroup v2', v1: 'cgroup v1', hybrid: 'cgroup v1 (hybrid)' }[tree.mode];
  const drivers = [...new Set(tree.pods.map((each) => each.driver))].join(' and ') || 'no pods, so no';
  const requires = tree.required.join(', ') || 'nothing';
  const head = `${paint(style, 'bold', kind)}, ${drivers} driver; of each pod kubelet requires ${requires}`;
  const words =
    tree.kernelWords.length > 0 ? wrap(`kernel: ${shown(style, tree.kernelWords.join(' '))}`, style.width) : [];
  return [...wrap(head, style.width), ...words];
}

class TreeWriter {
  readonly #tree: CgroupFacts;
  readonly #names: ReadonlyMap<string, string>;
  readonly #style: Style;

  constructor(tree: CgroupFacts, names: readonly NamedPod[], style: Style) {
    this.#tree = tree;
    this.#names = new Map(names.map((each) => [each.uid, `${each.namespace}/${each.name}`]));
    this.#style = style;
  }

  /** The root, and with v1 or what vanished the slices whose parent is not there. */
  roots(): Branch[] {
    const { slices } = this.#tree;
    return slices.filter((each) => this.#parentOf(each.path) === undefined).map((each) => this.#slice(each));
  }

  strays(): Branch[] {
    return this.#tree.odd.map((odd) => {
      const name = this.#names.get(odd.uid ?? '') ?? 'a pod that is not listed';
      const label = `${shown(this.#style, odd.path)}: ${this.#bold(name)}`;
      const empty = odd.processes.length === 0 ? [{ label: this.#dim('no process'), below: [] }] : [];
      return { label, below: [...this.#processes(odd), ...empty] };
    });
  }

  #slice(slice: CgroupSlice): Branch {
    const { slices, pods } = this.#tree;
    const mine = (each: { path: string }) => this.#parentOf(each.path) === slice;
    return {
      label: labelOf(this.#name(slice.path, this.#parentOf(slice.path)?.path), [this.#handsDown(slice)]),
      below: [
        ...(slice.scopes ?? []).map((each) => this.#scope(each, slice.path)),
        ...slices.filter(mine).map((each) => this.#slice(each)),
        ...pods.filter(mine).map((each) => this.#pod(each)),
      ],
    };
  }

  #pod(pod: PodCgroup): Branch {
    const name = this.#names.get(pod.uid);
    const words = [
      name === undefined ? this.#dim('no sandbox is listed') : this.#bold(name),
      pod.qos,
      ...(pod.missing.length > 0 ? [this.#red(`lacks ${pod.missing.join(', ')}`)] : []),
      ...(pod.populated === false ? [paint(this.#style, 'yellow', 'no process')] : []),
    ];
    const inside = [...(pod.scopes ?? []), ...(pod.others ?? [])];
    const label = labelOf(this.#name(pod.path, this.#parentOf(pod.path)?.path), words);
    return { label, below: inside.map((each) => this.#scope(each, pod.path)) };
  }

  #scope(scope: CgroupScope, parent: string): Branch {
    const says =
      scope.delegated === undefined
        ? isUnitDirectory(scope.path)
          ? this.#dim('systemd did not tell whether it is delegated')
          : ''
        : scope.delegated
          ? paint(this.#style, 'green', 'delegated: holds the slices above it')
          : 'not delegated';
    const anchor = isAnchor(scope.path) ? 'anchor' : '';
    return { label: labelOf(this.#name(scope.path, parent), [anchor, says]), below: this.#processes(scope) };
  }

  #processes({ processes = [] }: Pick<CgroupScope, 'processes'>): Branch[] {
    return processes.map(({ pid, comm }) => {
      return { label: `${pid} ${shown(this.#style, comm) || this.#dim('gone')}`, below: [] };
    });
  }

  #handsDown({ subtreeControl }: CgroupSlice): string {
    if (subtreeControl === undefined) return '';
    const { required } = this.#tree;
    const missing = required.filter((each) => !subtreeControl.includes(each));
    if (missing.length === 0) return this.#dim('hands all of them down');
    const given = required.filter((each) => subtreeControl.includes(each));
    return `hands ${given.join(', ') || 'nothing'} down, ${this.#red(`not ${missing.join(', ')}`)}`;
  }

  /** The nearest slice above a path. */
  #parentOf(path: string): CgroupSlice | undefined {
    if (path === '/') return undefined;
    const above = this.#tree.slices.filter(
      (each) => each.path !== path && (each.path === '/' || path.startsWith(`${each.path}/`)),
    );
    return above.toSorted((a, b) => b.path.length - a.path.length)[0];
  }

  /** A path from its parent on. */
  #name(path: string, parent: string | undefined): string {
    if (parent === undefined) return path;
    return shown(this.#style, path.slice(parent === '/' ? 1 : parent.length + 1));
  }

  #bold(text: string): string {
    return paint(this.#style, 'bold', shown(this.#style, text));
  }

  #dim(text: string): string {
    return paint(this.#style, 'dim', text);
  }

  #red(text: string): string {
    return paint(this.#style, ['bold', 'red'], text);
  }
}

function labelOf(name: string, words: readonly string[]): string {
  const said = words.filter((each) => each !== '').join(', ');
  return said === '' ? name : `${name}: ${said}`;
}

function linesOf(branch: Branch, style: Style, first = '', rest = ''): string[] {
  const marks = marksOf(style);
  const open = branch.below.length > 0 ? `${marks.bar} ` : '  ';
  const lines = hang(branch.label, style.width, first, `${rest}${open}  `);
  // On a narrow terminal a deep tree stops moving right: the words need the room.
  const deep = rest.length + 24 > style.width;
  branch.below.forEach((each, index) => {
    const last = index === branch.below.length - 1;
    const inner = deep ? rest : `${rest}${last ? '  ' : `${marks.bar} `}`;
    lines.push(...linesOf(each, style, `${rest}${last ? marks.corner : marks.tee}`, inner));
  });
  return lines;
}
