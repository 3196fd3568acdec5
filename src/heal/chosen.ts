import type { PlanOptions } from './plan.ts';

/** Whether `--only` lets this one through: by its code, and by name, pod or the beginning of its id. */
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
