import type { Conflict, Prepared, Step } from '../../boot/install/prepare.ts';
import type { Removal } from '../../boot/install/uninstall.ts';
import { shellWord } from '../../model/shell-word.ts';
import { hang, wrap } from './layout.ts';
import { exact, paint, type Style } from './style.ts';

/**
 * What `install --dry-run` prints: a shell script that does the same, without the checks. `root` is the folder of an
 * image; a script for an image asks nothing of this machine's systemd.
 */
export function planScript({ layout, plan, steps, notes, conflicts }: Prepared, root = ''): string {
  const at = (path: string) => shellWord(`${root}${path}`);
  const lines = ['#!/bin/sh', `# ${layout.title}, by:`, ...layout.from.map((path) => `#   ${path}`)];
  for (const note of notes) lines.push(`# ${note}`);
  lines.push('set -eu', `install -d -m 700 ${at('/var/lib/sandwarden')}`);
  for (const { path, mode, content } of plan.files) {
    lines.push('', `# ${path}: ${stateOf(path, steps, conflicts)}`);
    lines.push(`install -D -m ${mode.toString(8)} /dev/stdin ${at(path)} <<'END_OF_FILE'`);
    lines.push(`${content}END_OF_FILE`);
  }
  lines.push('');
  for (const { path, target } of plan.links) {
    lines.push(`mkdir -p ${at(path.slice(0, path.lastIndexOf('/')))}`, `ln -sfn ${shellWord(target)} ${at(path)}`);
  }
  for (const step of steps) if (step.kind === 'remove') lines.push(`rm -f ${at(step.path)}`);
  return endOfScript(lines, root);
}

/** What will be written, before the question. */
export function stepsText({ layout, steps, notes, plan }: Prepared, style: Style): string {
  const lines = hang(exact(style, `This node is ${layout.title}.`), style.width, '');
  for (const path of layout.from) lines.push(`  ${exact(style, path)}`);
  if (steps.length === 0) lines.push('', 'All files are as they should be; the record of them is written anew.');
  else lines.push('', 'To be written:');
  for (const step of steps) lines.push(`  ${wordOf(step).padEnd(8)} ${exact(style, pathOf(step))}`);
  const same = plan.files.length + plan.links.length - steps.filter((step) => step.kind !== 'remove').length;
  if (same > 0 && steps.length > 0) lines.push(`  and ${same} that ${same === 1 ? 'is' : 'are'} as they should be`);
  lines.push('', ...wrap("Each file whole: 'sandwarden install --dry-run'.", style.width));
  return `${lines.join('\n')}\n${notesText(notes, style)}\n`;
}

/** What stands in the way, with what would change. */
export function conflictsText(conflicts: readonly Conflict[], style: Style): string {
  const lines: string[] = [];
  for (const { path, what, says, diff } of conflicts) {
    const head = what === 'changed' ? 'changed since it was installed' : 'not ours';
    lines.push(paint(style, 'yellow', exact(style, `${path}: ${head} (${says})`)));
    for (const line of diff) lines.push(`  ${exact(style, line)}`);
  }
  return `${lines.join('\n')}\n`;
}

export interface DoneOptions {
  readonly style: Style;
  readonly seLinux: boolean;
  readonly isImage: boolean;
}

/** What was done, and what is left for a person. */
export function doneText(
  { plan, program }: Prepared,
  notes: readonly string[],
  { style, seLinux, isImage }: DoneOptions,
): string {
  const all = [...notes];
  if (seLinux) {
    const paths = plan.files.map((file) => file.path).join(' ');
    all.push(
      `SELinux is on here. Give the new files their labels: restorecon -RF ${paths} /var/lib/sandwarden. Where it ` +
        `keeps systemd from running Node: chcon -t bin_t ${program.node}`,
    );
  }
  const next = isImage ? 'when the image boots' : 'from the next boot on';
  const head = `Installed; it works ${next}. 'sandwarden status' tells whether it ran.`;
  return `${wrap(head, style.width).join('\n')}\n${notesText(all, style)}`;
}

/** Notes, each hanging under a dash; nothing where there are none. */
export function notesText(notes: readonly string[], style: Style): string {
  return notes.map((note) => `${hang(exact(style, note), style.width, '- ').join('\n')}\n`).join('');
}

function endOfScript(lines: readonly string[], root: string): string {
  return `${lines.join('\n')}\n${root === '' ? 'systemctl daemon-reload\n' : ''}`;
}

/** What `uninstall --dry-run` prints; `root` as for `planScript`. */
export function removalScript(
  { manifest, paths, changed, restored }: Removal,
  { purge, root }: { readonly purge: boolean; readonly root: string },
): string {
  const at = (path: string) => shellWord(`${root}${path}`);
  const gone = [...paths, ...changed].filter((path) => !restored.includes(path));
  const lines = ['#!/bin/sh', 'set -eu', ...gone.map((path) => `rm -f ${at(path)}`)];
  for (const path of restored) lines.push(`# ${path}: what --force replaced is put back`);
  for (const path of manifest.folders.toReversed()) lines.push(`rmdir --ignore-fail-on-non-empty ${at(path)}`);
  if (purge) lines.push(`rm -rf ${at('/var/lib/sandwarden')}`);
  return endOfScript(lines, root);
}

/** What will be removed, before the question. */
export function removalText({ paths, changed, restored, manifest }: Removal, purge: boolean, style: Style): string {
  const lines = manifest.state === 'installing' ? ['The installation was cut off; what there is of it goes.'] : [];
  lines.push('To be removed:');
  for (const path of [...paths, ...changed]) {
    const note = restored.includes(path)
      ? ' (what was there before comes back)'
      : changed.includes(path)
        ? ' (changed)'
        : '';
    lines.push(`  ${exact(style, path)}${note}`);
  }
  if (purge) lines.push('  /var/lib/sandwarden (the journal too)');
  return `${lines.join('\n')}\n`;
}

function stateOf(path: string, steps: readonly Step[], conflicts: readonly Conflict[]): string {
  const conflict = conflicts.find((each) => each.path === path);
  if (conflict) return `${conflict.what === 'foreign' ? 'a foreign file is there' : 'it was changed'}; needs --force`;
  const step = steps.find((each) => pathOf(each) === path);
  return step === undefined ? 'as it should be' : wordOf(step);
}

function wordOf(step: Step): string {
  if (step.kind === 'remove') return 'remove';
  return step.why === 'new' ? (step.kind === 'link' ? 'enable' : 'new') : step.why;
}

function pathOf(step: Step): string {
  if (step.kind === 'write') return step.file.path;
  return step.kind === 'link' ? step.link.path : step.path;
}
