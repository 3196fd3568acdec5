import type { Facts } from './facts.ts';

/** Made once for each facts: many rules, and thousands of dead sandboxes, ask for the same. */
export function once<Value>(make: (facts: Facts) => Value): (facts: Facts) => Value {
  const made = new WeakMap<Facts, { readonly value: Value }>();
  return (facts) => {
    const known = made.get(facts) ?? { value: make(facts) };
    made.set(facts, known);
    return known.value;
  };
}
