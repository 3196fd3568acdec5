import * as v from 'valibot';

/** The small parts that the schemas of a snapshot file are made of. A bigint is written as a decimal text. */
export const big = v.pipe(
  v.string(),
  v.regex(/^-?\d{1,20}$/, 'must be a whole number written as text'),
  v.transform((text) => BigInt(text)),
);
export const text = v.string();
export const flag = v.boolean();
export const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
export const optional = v.exactOptional;
