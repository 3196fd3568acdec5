import { createHash } from 'node:crypto';
import { safeText } from '../../model/safe-text.ts';

/** Text of others as it may stand in a page, in an element or in an attribute: visible, and nothing but text. */
export function esc(text: string, maxLength = 2_000): string {
  return safeText(text, maxLength).replace(/[&<>"']/g, (each) => `&#${each.charCodeAt(0)};`);
}

/** What a page is made of. `title` is text, `body` is HTML. */
export interface Page {
  readonly title: string;
  readonly css: string;
  readonly body: string;
}

/**
 * One page that needs nothing else: no script, no font, no picture from anywhere. Its policy allows the one style sheet
 * by its hash and nothing more, so that even text which was not escaped could not run or load anything.
 */
export function page({ title, css, body }: Page): string {
  const hash = createHash('sha256').update(css).digest('base64');
  const policy = `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'`;
  return [
    '<!doctype html>',
    '<html lang="en">',
    '<head>',
    '<meta charset="utf-8">',
    `<meta http-equiv="Content-Security-Policy" content="${policy}">`,
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    '<meta name="referrer" content="no-referrer">',
    '<meta name="color-scheme" content="light dark">',
    `<title>${esc(title, 200)}</title>`,
    `<style>${css}</style>`,
    '</head>',
    '<body>',
    body,
    '</body>',
    '</html>',
    '',
  ].join('\n');
}
