/** The entry of `known` that `typed` was probably meant to be, or undefined where none is near. */
export function nearest(typed: string, known: readonly string[]): string | undefined {
  const limit = typed.length <= 4 ? 1 : typed.length <= 7 ? 2 : 3;
  let best: string | undefined;
  let bestDistance = limit + 1;
  for (const each of known) {
    const distance = editDistance(typed.toLowerCase(), each.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [each, distance];
  }
  return best ?? (typed.length >= 2 ? known.find((each) => each.startsWith(typed.toLowerCase())) : undefined);
}

/** `Did you mean X? ` or nothing: the first half of a hint. */
export function didYouMean(typed: string, known: readonly string[], prefix = ''): string {
  const match = nearest(typed, known);
  return match === undefined ? '' : `Did you mean '${prefix}${match}'? `;
}

/** Insertions, deletions, replacements and swaps of neighbours (optimal string alignment). */
function editDistance(from: string, to: string): number {
  const a = from.slice(0, 64);
  const b = to.slice(0, 64);
  let older: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let least = Math.min((previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (previous[j - 1] ?? 0) + cost);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) least = Math.min(least, (older[j - 2] ?? 0) + 1);
      row.push(least);
    }
    older = previous;
    previous = row;
  }
  return previous[b.length] ?? 0;
}
