/**
 * Names, errors and log lines come from others. What a terminal or a page would obey is made visible here:
 * control characters (C0, C1, DEL) and the Unicode marks that turn the direction of text or hide in it.
 */

/**
 * `text` on one line, with everything a terminal obeys written as `\xNN` or `\u{NNNN}`, at most `maxLength` characters.
 */
export function safeText(text: string, maxLength = 2_000): string {
  const cut = text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
  return cut.replace(DANGEROUS, escapeOf);
}

/** Whether `text` would be shown as it is. */
export function isSafeText(text: string): boolean {
  return text.search(DANGEROUS) === -1;
}

// C0, DEL, C1; soft hyphen; Arabic letter mark; zero-width and direction marks; line and paragraph separators;
// embeddings and overrides; invisible operators and isolates; the byte order mark; interlinear annotations;
// tags; lone surrogates (the last two need the u flag).
const DANGEROUS =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}\ud800-\udfff]/gu;

function escapeOf(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  return code <= 0xff ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
}
