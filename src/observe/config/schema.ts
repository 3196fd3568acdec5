import * as v from 'valibot';
import { big, count, flag, optional, text } from '../schema-parts.ts';

/** The part of the snapshot file that src/model/runtime-config.ts describes. */

const fileLine = v.object({ file: text, line: count });

/** A handler of the runtime. */
export const handlerSchema = v.object({
  name: text,
  runtimeType: optional(text),
  systemdCgroup: flag,
  at: optional(fileLine),
});

const settings = v.object({
  handlers: v.array(handlerSchema),
  defaultHandler: text,
  defaultAt: optional(fileLine),
});

/** `runtimeConfig` of a snapshot. */
export const runtimeConfigSchema = v.object({
  rule: v.picklist(['replace-plugins', 'migrate-merged', 'migrate-each', 'cri-o']),
  file: text,
  fileFrom: text,
  files: v.array(
    v.object({ path: text, version: optional(count), modifiedNs: optional(big), importedBy: optional(fileLine) }),
  ),
  template: optional(text),
  version: optional(count),
  settings: optional(settings),
  refusal: optional(v.object({ text, at: optional(fileLine) })),
  lost: v.array(
    v.object({
      key: text,
      value: text,
      at: fileLine,
      effective: text,
      reason: v.picklist(['plugin-replaced', 'section-ignored']),
      by: fileLine,
    }),
  ),
  target: optional(
    v.object({
      file: text,
      table: text,
      version: count,
      dropInFolder: optional(text),
      options: v.record(text, fileLine),
      sealed: v.array(text),
      present: v.array(text),
    }),
  ),
  dump: optional(v.union([v.object({ settings }), v.object({ refusal: text })])),
  writersUnknown: optional(v.object({ message: text, hint: text })),
  writers: optional(
    v.array(
      v.object({
        unit: text,
        how: text,
        at: optional(fileLine),
        orderedBefore: flag,
        orderedAfter: optional(flag),
        startsUnits: optional(flag),
        runtimeUnit: text,
        lastWrote: optional(v.object({ path: text, atUs: big })),
        startedUs: optional(big),
        doneUs: optional(big),
        runtimeStartedUs: optional(big),
      }),
    ),
  ),
});

/** `kubeletConfig` of a snapshot. */
export const kubeletConfigSchema = v.object({
  files: v.array(v.object({ path: text, modifiedNs: optional(big) })),
  drivers: v.array(
    v.object({
      driver: text,
      from: v.picklist(['default', 'file', 'drop-in', 'flag', 'configz']),
      at: optional(fileLine),
    }),
  ),
  asksRuntime: optional(flag),
  cgroupRoot: optional(text),
  onDisk: v.array(v.picklist(['systemd', 'cgroupfs'])),
});
