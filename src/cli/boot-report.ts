import { flags, readBootRecord, readFlag } from '../boot/record.ts';
import { type BootReport, bootReport, describeLastBoot } from '../boot/report.ts';
import { describeDuration } from '../diagnose/time.ts';
import type { Entry } from '../heal/entries.ts';
import { readJournal } from '../heal/journal.ts';
import { defaultStateDir, journalStore } from '../heal/state-dir.ts';
import { ExitCode, isSandwardenError } from '../model/errors.ts';
import type { Args } from './frame/command.ts';
import type { Io } from './frame/io.ts';
import { openEyes } from './look.ts';
import { jsonText } from './render/json.ts';
import { hang } from './render/layout.ts';
import { exact, paint, type Style, styleOf } from './render/style.ts';

/** `sandwarden boot-report`. */
export async function run(args: Args, io: Io): Promise<ExitCode> {
  await using eyes = await openEyes(args, io.env);
  const [snapshot, record, booted, unclean, clockBehind, entries] = await Promise.all([
    eyes.look(),
    readBootRecord(),
    readFlag(flags.booted),
    readFlag(flags.unclean),
    readFlag(flags.clockBehind),
    entriesOf(io),
  ]);
  const report = bootReport({
    snapshot,
    record,
    entries,
    flags: { booted: booted !== undefined, unclean: unclean !== undefined, clockBehind: clockBehind !== undefined },
  });
  io.stdout.write(
    args.value('output') === 'json' ? jsonText(report) : bootReportText(report, styleOf(io, args.flag('no-color'))),
  );
  return ExitCode.healthy;
}

/** The report as a person reads it: one line where nothing ran. */
export function bootReportText(report: BootReport, style: Style): string {
  const { verdict, took } = report;
  const lines = hang(paint(style, 'bold', exact(style, verdict)), style.width, '', '  ');
  if (verdict.startsWith('nothing ran')) return `${lines.join('\n')}\n`;
  const add = (title: string, items: readonly string[]) => {
    if (items.length === 0) return;
    lines.push('', paint(style, 'bold', title));
    for (const each of items) lines.push(...hang(exact(style, each), style.width, '  ', '    '));
  };
  add('Last boot', [describeLastBoot(report.lastBoot)]);
  add('What was wrong', report.wrong);
  add('What was done', report.done);
  add(
    'What is left',
    report.left.map(({ object, why }) => `${object}: ${why}`),
  );
  const at = (ns: bigint | undefined) => (ns === undefined ? 'not known' : `+${describeDuration(ns)}`);
  const answered = took.runtimeReadyNs !== undefined;
  const made = took.lastPod === undefined ? '' : `: ${took.lastPod}; when it became ready is not measured`;
  add('From the start of the kernel', [
    answered ? `runtime ready ${at(took.runtimeReadyNs)}` : `runtime started ${at(took.runtimeStartedNs)}`,
    `kubelet started ${at(took.kubeletStartedNs)}`,
    `last sandbox and its containers made ${at(took.lastPodNs)}${made}`,
    `${took.ready} of ${took.pods} pods have their sandbox`,
  ]);
  return `${lines.join('\n')}\n`;
}

/** Who may not read the journal sees the rest. */
async function entriesOf(io: Io): Promise<readonly Entry[]> {
  try {
    return (await readJournal(journalStore(defaultStateDir))).entries;
  } catch (error) {
    if (!isSandwardenError(error)) throw error;
    io.stderr.write(`sandwarden: what was done is not shown: ${error.message}\n`);
    return [];
  }
}
