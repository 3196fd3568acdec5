/** The interface that scenario files are written against; the embedded node and the laboratory implement it. */
export type { Rig } from '../../src/embedded/rig.ts';
