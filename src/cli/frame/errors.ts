import { ExitCode, SandwardenError } from '../../model/errors.ts';
import { safeText } from '../../model/safe-text.ts';
import { version } from '../../model/version.ts';
import { hang } from '../render/layout.ts';
import { exact, paint, type Style } from '../render/style.ts';

/** What a person reads about an error, and the exit code that it leads to. */
export function describeError(error: unknown, style: Style, asJson: boolean): { text: string; exitCode: ExitCode } {
  if (!(error instanceof SandwardenError)) return describeBug(error, style, asJson);
  const { code, message, hint, exitCode } = error;
  if (asJson) return { text: oneLine({ code, message, hint, exitCode }), exitCode };
  const head = hang(`${paint(style, ['bold', 'red'], 'sandwarden:')} ${exact(style, message)}`, style.width, '', '  ');
  const lines = hint === '' ? head : [...head, ...hang(exact(style, hint), style.width, '  ')];
  return { text: `${lines.join('\n')}\n`, exitCode };
}

function describeBug(error: unknown, style: Style, asJson: boolean): { text: string; exitCode: ExitCode } {
  const exitCode = ExitCode.bug;
  const message = error instanceof Error ? error.message : String(error);
  const hint = "Please report all of this, with the file that 'sandwarden snapshot -o node.json' writes.";
  if (asJson) return { text: oneLine({ code: 'BUG', message, hint, exitCode }), exitCode };
  const stack = error instanceof Error && error.stack !== undefined ? error.stack.split('\n').slice(1, 9) : [];
  const lines = [
    ...hang(
      `${paint(style, ['bold', 'red'], 'sandwarden:')} this is a bug of ours: ${exact(style, message)}`,
      style.width,
      '',
      '  ',
    ),
    `  version ${version}, node ${process.version}, ${process.platform} ${process.arch}`,
    ...stack.map((each) => `  ${exact(style, each.trim())}`),
    ...hang(hint, style.width, '  '),
  ];
  return { text: `${lines.join('\n')}\n`, exitCode };
}

function oneLine(error: { code: string; message: string; hint: string; exitCode: number }): string {
  const { code, message, hint, exitCode } = error;
  return `${JSON.stringify({ error: { code, message: safeText(message), hint: safeText(hint), exitCode } })}\n`;
}
