import type { PodBranch, PodExplanation } from '../../model/pod-explanation.ts';
import { hang, wrap } from './layout.ts';
import { sentence } from './sentence.ts';
import { type Paint, paint, type Style, shown } from './style.ts';

/** What `explain pod` prints: the answer, what comes next, and each thing kubelet looks at. */
export function podText(of: PodExplanation, style: Style): string {
  const name = `${of.pod.namespace}/${of.pod.name}`;
  const lines = [
    ...hang(`${paint(style, 'bold', shown(style, name))} ${shown(style, sentence(of.verdict))}`, style.width, '', '  '),
    ...labelled('next', of.next, style),
    ...(of.ends === '' ? [] : labelled('ends', of.ends, style)),
    ...of.heldBy.flatMap((each) => labelled('held', each, style)),
    ...labelled('runs', of.wanted, style),
    '',
    ...heading(`Its sandboxes, as ${of.kubelet} sorts them (${orderWords(of)})`, style),
    ...(of.sandboxes.length === 0 ? ['  none'] : of.sandboxes.flatMap((each) => sandboxLines(each, style))),
    '',
    ...heading('Its cgroup, where kubelet looks for it', style),
    ...of.cgroups.flatMap((each) => cgroupLines(each, style)),
    '',
    ...heading('The branches of its decision, in its order', style),
    ...of.branches.flatMap((each) => branchLines(each, style)),
  ];
  return `${lines.join('\n')}\n`;
}

function orderWords({ order }: PodExplanation): string {
  if (order === undefined) return 'its version is not known; up to 1.34 by date, from 1.35 on by attempt';
  return order === 'by-date' ? 'the latest date first' : 'the highest attempt first';
}

function sandboxLines(sandbox: PodExplanation['sandboxes'][number], style: Style): string[] {
  const { 'by-date': byDate, 'by-attempt': byAttempt } = sandbox.places;
  const places = byDate === byAttempt ? `${byDate} both ways` : `${byDate} by date, ${byAttempt} by attempt`;
  const state = sandbox.ready ? paint(style, 'green', 'READY') : paint(style, 'yellow', 'NotReady');
  const id = shown(style, sandbox.id);
  const text = `attempt ${sandbox.attempt} ${state}, made ${sandbox.created}, place ${places}, ${id}`;
  return hang(text, style.width, '  ', '    ');
}

function cgroupLines(cgroup: PodExplanation['cgroups'][number], style: Style): string[] {
  const lacks = cgroup.missing.length > 0 ? paint(style, ['bold', 'red'], `lacks ${cgroup.missing.join(', ')}`) : '';
  const finds = { directory: lacks || 'every controller is there', nothing: 'not there', unknown: 'not read' };
  return hang(`${cgroup.driver}: ${shown(style, cgroup.path)}: ${finds[cgroup.finds]}`, style.width, '  ', '    ');
}

const titles: Readonly<Record<PodBranch['branch'], string>> = {
  'cgroup-missing': 'cgroup missing',
  none: 'no sandbox',
  'several-ready': 'several ready',
  'newest-not-ready': 'newest not ready',
  'network-mode': 'network mode',
  'no-address': 'no address',
};

const answers: Readonly<Record<PodBranch['fires'], readonly [Paint, string]>> = {
  yes: [['bold', 'red'], 'yes'],
  'by-log': [['bold', 'red'], 'yes, by the log'],
  no: ['dim', 'no'],
  unknown: ['yellow', 'not known'],
};

function branchLines({ branch, fires, why }: PodBranch, style: Style): string[] {
  const [how, answer] = answers[fires];
  const text = `${titles[branch]}: ${paint(style, how, answer)}: ${shown(style, why)}`;
  return hang(text, style.width, '  ', '    ');
}

function heading(text: string, style: Style): string[] {
  return wrap(shown(style, text), style.width).map((line) => paint(style, 'bold', line));
}

function labelled(label: string, text: string, style: Style): string[] {
  return hang(shown(style, text), style.width, `  ${label}  `);
}
