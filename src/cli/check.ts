import { ExitCode } from '../model/errors.ts';
import type { Diagnosis, Finding } from '../model/finding.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { Args } from './frame/command.ts';
import type { Io } from './frame/io.ts';
import { lookOnce } from './look.ts';
import { diagnosisText, isShown, type Show } from './render/diagnosis-text.ts';
import { styleOf } from './render/style.ts';

/** The least severity that counts for the exit code. */
export type FailOn = 'error' | 'warning' | 'never';

/** `sandwarden check`. */
export async function run(args: Args, io: Io): Promise<ExitCode> {
  const controllerChanges =
    args.value('watch') === undefined ? undefined : await (await import('./watching.ts')).watchFirst(args, io);
  const { snapshot, diagnosis } = await lookOnce(args, io.env, { containerEvents: true, controllerChanges });
  const failOn = (args.value('fail-on') ?? 'warning') as FailOn;
  const show = args.value('show') as Show | undefined;
  io.stdout.write(await rendered(args, io, { diagnosis, failOn, show, snapshot }));
  return exitCodeOf(diagnosis, failOn, snapshot);
}

/** The exit code of a diagnosis: a threshold of its own, apart from what is printed. */
export function exitCodeOf(diagnosis: Diagnosis, failOn: FailOn, { runtime }: Pick<Snapshot, 'runtime'>): ExitCode {
  switch (diagnosis.state) {
    case 'unobservable':
      // Nothing could be observed because somebody else must run it: that is a code of its own.
      return !runtime.known && runtime.code === 'ERR_SOCKET_FORBIDDEN' ? ExitCode.forbidden : ExitCode.unobservable;
    case 'errors':
      return failOn === 'never' ? ExitCode.healthy : ExitCode.errorsFound;
    case 'warnings':
      return failOn === 'warning' ? ExitCode.warnings : ExitCode.healthy;
    case 'healthy':
      return ExitCode.healthy;
  }
}

interface Report {
  readonly diagnosis: Diagnosis;
  readonly failOn: FailOn;
  readonly show: Show | undefined;
  readonly snapshot: Snapshot;
}

async function rendered(args: Args, io: Io, { diagnosis, failOn, show, snapshot }: Report): Promise<string> {
  const format = args.value('output') ?? 'text';
  if (format === 'text') return diagnosisText(diagnosis, styleOf(io, args.flag('no-color')), show ?? 'warning');
  // A machine gets everything unless it says otherwise.
  const findings = diagnosis.findings.filter((each) => isShown(each.severity, show ?? 'all'));
  if (format === 'json') {
    const { jsonText } = await import('./render/json.ts');
    const exitCode = exitCodeOf(diagnosis, failOn, snapshot);
    const { takenBy } = snapshot;
    return jsonText({ format: 'sandwarden.check/1', takenBy, exitCode, ...diagnosis, findings });
  }
  const { catalogue } = await import('../diagnose/catalogue.ts');
  if (format === 'sarif') return (await import('./render/sarif.ts')).sarifText(diagnosis, findings, catalogue);
  const { junitText } = await import('./render/junit.ts');
  return junitText(diagnosis, findings, catalogue, (each) => fails(each, failOn));
}

function fails(finding: Finding, failOn: FailOn): boolean {
  if (failOn === 'never' || finding.severity === 'info') return false;
  return failOn === 'warning' || finding.severity === 'error';
}
