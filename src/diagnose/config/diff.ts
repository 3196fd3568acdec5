const context = 3;

/** A unified diff of one change (what lies between the first and the last line that differ), as `diff -u` prints it. */
export function unifiedDiff(path: string, before: string | undefined, after: string): string {
  const [old, now] = [linesOf(before ?? ''), linesOf(after)];
  if (before === after) return '';
  let start = 0;
  while (start < old.length && start < now.length && old[start] === now[start]) start += 1;
  let end = 0;
  while (end < old.length - start && end < now.length - start && old.at(-1 - end) === now.at(-1 - end)) end += 1;
  const from = Math.max(0, start - context);
  const tail = Math.min(end, context);
  const [removed, added] = [old.slice(start, old.length - end), now.slice(start, now.length - end)];
  const count = (changed: readonly string[]) => start - from + changed.length + tail;
  const at = (lines: number) => `${lines === 0 ? from : from + 1},${lines}`;
  return [
    `--- ${before === undefined ? '/dev/null' : path}`,
    `+++ ${path}`,
    `@@ -${at(count(removed))} +${at(count(added))} @@`,
    ...old.slice(from, start).map((each) => ` ${each}`),
    ...removed.map((each) => `-${each}`),
    ...added.map((each) => `+${each}`),
    ...old.slice(old.length - end, old.length - end + tail).map((each) => ` ${each}`),
    '',
  ].join('\n');
}

function linesOf(text: string): string[] {
  if (text === '') return [];
  return (text.endsWith('\n') ? text.slice(0, -1) : text).split('\n');
}
