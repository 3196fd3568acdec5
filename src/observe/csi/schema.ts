import * as v from 'valibot';
import { socketStates } from '../../model/csi.ts';
import { big, count, flag, optional, text } from '../schema-parts.ts';

/** The CSI part of a snapshot file: the types of model/csi.ts and of a pod's containers as JSON. */

const socket = {
  path: text,
  device: text,
  inode: text,
  madeAtNs: big,
  owned: optional(flag),
  owner: optional(v.object({ pid: count, comm: text, startedUptimeNs: big })),
  says: text,
};

export const csiSchema = v.object({
  kubeletDirs: v.array(text),
  drivers: v.array(
    v.object({
      ...socket,
      name: text,
      nameFrom: v.picklist(['GetPluginInfo', 'folder']),
      version: optional(text),
      state: v.picklist(socketStates),
    }),
  ),
  registrations: v.array(
    v.object({
      ...socket,
      state: v.picklist(['accepts', 'hangs', 'refuses', 'missing', 'forbidden', 'not-socket']),
    }),
  ),
  truncated: flag,
});

const volumeError = v.object({ message: text, atNs: optional(big) });

export const volumesSchema = v.object({
  nodeName: text,
  asOfNs: optional(big),
  attachments: v.array(
    v.object({
      name: text,
      uid: text,
      driver: text,
      volume: optional(text),
      attached: flag,
      createdAtNs: big,
      deletingSinceNs: optional(big),
      attachError: optional(volumeError),
      detachError: optional(volumeError),
    }),
  ),
});

/** What a pod has beside its name, uid, phase and policy. */
export const podDetailFields = {
  owner: optional(v.object({ kind: text, name: text })),
  containers: optional(
    v.array(
      v.object({
        name: text,
        state: v.picklist(['waiting', 'running', 'terminated', 'unknown']),
        reason: optional(text),
        message: optional(text),
        ready: flag,
        restarts: count,
        lastExit: optional(v.object({ exitCode: count, reason: text, finishedAtNs: optional(big) })),
        kubeletPaths: optional(v.array(text)),
        mountsForOthers: optional(v.literal(true)),
      }),
    ),
  ),
  claims: optional(v.array(text)),
  inlineDrivers: optional(v.array(text)),
};
