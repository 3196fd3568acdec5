/** A seeded source of numbers: the same seed gives the same run, transcript and ids. Not for secrets. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** `digits` hexadecimal digits. */
  hex(digits: number): string;
  /** A uid as the Kubernetes API makes them (version 4). */
  uid(): string;
}

/** mulberry32 (Tommy Ettinger, public domain): 32 bits of state are plenty for jitters and ids of a test. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const hex = (digits: number) => {
    let text = '';
    while (text.length < digits)
      text += Math.floor(next() * 0x1_0000_0000)
        .toString(16)
        .padStart(8, '0');
    return text.slice(0, digits);
  };
  const uid = () => `${hex(8)}-${hex(4)}-4${hex(3)}-${(8 + Math.floor(next() * 4)).toString(16)}${hex(3)}-${hex(12)}`;
  return { next, hex, uid };
}
