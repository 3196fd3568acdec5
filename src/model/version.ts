/** The version of Sandwarden: the bundler writes package.json's here; run from its sources it is `dev`. */
export const version = typeof SANDWARDEN_VERSION === 'string' ? SANDWARDEN_VERSION : 'dev';

declare const SANDWARDEN_VERSION: string | undefined;
