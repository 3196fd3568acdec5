/** How many cases of a property are tried: the same number each time; `FUZZ_RUNS` multiplies it for a longer look. */
export function runs(count: number): { numRuns: number } {
  return { numRuns: count * Number(process.env.FUZZ_RUNS ?? 1) };
}
