/** The lines that differ between two texts, `-` for the old and `+` for the new one, at most `most` of them. Pure. */
export function lineDiff(before: string, after: string, most = 40): string[] {
  const [old, fresh] = [before.split('\n'), after.split('\n')];
  const shared = longestCommon(old.slice(0, MOST_LINES), fresh.slice(0, MOST_LINES));
  const lines: string[] = [];
  let [at, to] = [0, 0];
  for (const [i, j] of [...shared, [old.length, fresh.length] as const]) {
    lines.push(...old.slice(at, i).map((line) => `-${line}`), ...fresh.slice(to, j).map((line) => `+${line}`));
    [at, to] = [i + 1, j + 1];
  }
  return lines.length <= most ? lines : [...lines.slice(0, most), `… and ${lines.length - most} more lines`];
}

/** Units have some forty lines; a file that has more is no unit of ours. */
const MOST_LINES = 500;

/** The pairs of places of a longest common subsequence. */
function longestCommon(old: readonly string[], fresh: readonly string[]): (readonly [number, number])[] {
  const width = fresh.length + 1;
  const lengths = new Uint16Array((old.length + 1) * width);
  const at = (i: number, j: number) => lengths[i * width + j] ?? 0;
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = fresh.length - 1; j >= 0; j--) {
      lengths[i * width + j] = old[i] === fresh[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const pairs: [number, number][] = [];
  for (let [i, j] = [0, 0]; i < old.length && j < fresh.length; ) {
    if (old[i] === fresh[j]) pairs.push([i++, j++]);
    else if (at(i + 1, j) >= at(i, j + 1)) i++;
    else j++;
  }
  return pairs;
}
