import { describeClock } from '../../boot/clock-floor.ts';
import type { InstallStatus, UnitStatus } from '../../boot/install/status.ts';
import { describeDate } from '../../diagnose/time.ts';
import { notesText } from './install-text.ts';
import { hang } from './layout.ts';
import { exact, paint, type Style } from './style.ts';

/** `sandwarden status` for people. */
export function statusText(status: InstallStatus, style: Style): string {
  const lines = hang(paint(style, 'bold', headOf(status)), style.width, '', '  ');
  const say = (text: string) => lines.push(...hang(exact(style, text), style.width, '  ', '    '));
  for (const path of status.changed) say(`changed: ${path}`);
  for (const path of status.missing) say(`missing: ${path}`);
  if (status.changed.length + status.missing.length > 0) say("'sandwarden install' shows the difference.");
  if (status.units.length > 0) lines.push('', 'At this boot:');
  for (const unit of status.units) lines.push(...hang(wordOf(unit), style.width, `  ${unit.name.padEnd(30)} `, '    '));
  const { thisBoot, did } = status;
  if (thisBoot.judged) {
    lines.push('');
    say(
      thisBoot.unclean
        ? 'The boot before ended without a shutdown.'
        : 'The boot before ended in order, or is not known.',
    );
    if (thisBoot.clockBehind) say('The clock came up behind the dates on the disk.');
  }
  if (did?.clock !== undefined) say(describeClock(did.clock));
  for (const { step, removed, left, why, reportOnly } of did?.heal ?? []) {
    const what = removed.length === 0 ? 'nothing removed' : `removed ${removed.join(', ')}`;
    const rest = left.length === 0 ? '' : `; left ${left.map((each) => each.object).join(', ')}`;
    say(`healing ${step.replace('-', ' ')}${reportOnly ? ' (report only)' : ''}: ${what}${rest}; ${why}`);
  }
  if (status.lastUncleanBoot !== null) {
    const { wallNs, boots } = status.lastUncleanBoot;
    say(`Last boot after a power cut: ${describeDate(wallNs)} (${boots} in all).`);
  }
  return `${lines.join('\n')}\n${notesText(status.notes, style)}`;
}

function headOf({ state, version, layout }: InstallStatus): string {
  switch (state) {
    case 'installed':
      return `The boot hook is installed, by version ${version}, for ${layout}.`;
    case 'cut-off':
      return "An installation was cut off in the middle. Run 'sandwarden install' again, or 'sandwarden uninstall'.";
    case 'damaged':
      return "What is installed is not known. 'sandwarden install --force' writes all of it anew.";
    case 'not-installed':
      return "The boot hook is not installed. 'sandwarden install' puts it there.";
  }
}

function wordOf({ state, tookMs }: UnitStatus): string {
  const took = tookMs === null ? '' : ` (${tookMs < 10 ? tookMs.toFixed(1) : Math.round(tookMs)} ms)`;
  switch (state) {
    case 'ran':
      return `ran${took}`;
    case 'running':
      return 'is active';
    case 'skipped':
      return 'not needed';
    case 'waiting':
      return 'has not run';
    case 'failed':
      return `failed${took}: systemctl status tells why`;
    case 'missing':
      return 'systemd does not know it';
  }
}
