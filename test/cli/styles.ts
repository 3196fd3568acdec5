import type { Style } from '../../src/cli/render/style.ts';

/** The terminals that golden outputs are made for. */
export const styles: Readonly<Record<string, Style>> = {
  '40': { width: 40, colour: false, unicode: true },
  '80': { width: 80, colour: false, unicode: true },
  '120': { width: 120, colour: false, unicode: true },
  'ascii-80': { width: 80, colour: false, unicode: false },
  'colour-80': { width: 80, colour: true, unicode: true },
};
