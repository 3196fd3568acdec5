import type { PlanOptions } from './plan.ts';

/** Whether a person who named findings with `--only` means this one: by code, and by name, pod or the id's beginning. */
export function isWanted(options: PlanOptions, code: string, name: string, pod: string, id: string): boolean {
  if (options.only.length === 0) return true;
  return options.only.some(
    (each) =>
      each.code === code &&
      (each.object === undefined ||
        each.object === name ||
        each.object === pod ||
        (each.object.length >= 6 && id.startsWith(each.object))),
  );
}
