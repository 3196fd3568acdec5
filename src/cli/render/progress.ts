import type { OnProgress, ProgressEvent } from '../../heal/progress.ts';
import { describeStage } from '../../heal/stages.ts';
import type { Output } from '../frame/io.ts';
import { columnsOf, wrap } from './layout.ts';
import { actionTitle } from './plan-text.ts';
import { type Style, shown } from './style.ts';
import { formatMs } from './time.ts';

export interface Progress {
  readonly show: OnProgress;
  /** A line that stays. */
  note(text: string): void;
  /** Takes the moving line away. */
  end(): void;
}

/** What happens at the moment: one line that is written anew at a terminal, one line for each stage elsewhere. */
export function progressOn(output: Output, style: Style): Progress {
  const moving = output.isTerminal && style.unicode;
  let stage = '';
  const clear = () => {
    if (moving) output.write('\r\u001b[2K');
  };
  return {
    show: (event) => {
      const text = progressText(event, style);
      if (moving) {
        const room = style.width - 1;
        output.write(`\r\u001b[2K${columnsOf(text) > room ? (wrap(text, room)[0] ?? '') : text}`);
      } else if (event.kind !== stage && event.kind !== 'acted') {
        output.write(`${stageText(event, style)}\n`);
      }
      if (event.kind !== 'acted') stage = event.kind;
    },
    note: (text) => {
      clear();
      output.write(`${text}\n`);
    },
    end: clear,
  };
}

function progressText(event: ProgressEvent, style: Style): string {
  const elapsed = formatMs(event.elapsedMs);
  switch (event.kind) {
    case 'act':
      return `${elapsed}  ${event.index + 1}/${event.of}  ${actionTitle(event.action, style)}`;
    case 'acted': {
      const { result, action } = event.outcome;
      return `${elapsed}  ${event.ended}/${event.of}  ${result}: ${actionTitle(action, style)}`;
    }
    default:
      return `${elapsed}  ${stageText(event, style)}`;
  }
}

function stageText(event: ProgressEvent, style: Style): string {
  switch (event.kind) {
    case 'resumed': {
      const left = event.left.map((each) => `${shown(style, each.object)} (${shown(style, each.why)})`).join('; ');
      return `an earlier run was cut off; looked at what it left: ${left}`;
    }
    case 'confirming':
      return `looking a second time, in ${formatMs(event.waitMs)}`;
    case 'act':
    case 'acted':
      return `acting: ${event.of} to do`;
    case 'stages': {
      const red = event.stages.find((each) => each.state !== 'green');
      const done = event.stages.filter((each) => each.state === 'green').length;
      const now = red === undefined ? 'all green' : shown(style, describeStage(red));
      return `${done} of ${event.stages.length} stages of storage green; ${now}`;
    }
    case 'verifying': {
      if (event.of === 0) return 'no pod has to come back';
      const waiting = event.waiting.slice(0, 2).map((each) => shown(style, each));
      const more = event.waiting.length > 2 ? ` and ${event.waiting.length - 2} more` : '';
      return event.waiting.length === 0
        ? `${event.recovered} of ${event.of} pods are back`
        : `${event.recovered} of ${event.of} pods are back; waiting for ${waiting.join(', ')}${more}`;
    }
  }
}
