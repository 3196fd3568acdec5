/** The version of Sandwarden: the bundler writes package.json's here; run from its sources it is `dev`. */
export const version = typeof SANDWARDEN_VERSION === 'string' ? SANDWARDEN_VERSION : 'dev';

declare const SANDWARDEN_VERSION: string | undefined;

/** No machine has run this version before that date, 2026-11-01: an earlier clock was never set. Nanoseconds. */
export const programEpochNs = 1_793_491_200_000_000_000n;
