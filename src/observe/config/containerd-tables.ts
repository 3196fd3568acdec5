import type { TomlTable } from './toml.ts';

/** A file of containerd's configuration that could be parsed. */
export interface LoadedFile {
  readonly path: string;
  readonly table: TomlTable;
}

/** The name of the CRI plugin's table by the version of the configuration file; 4 has that of 3. */
export const criTables = {
  1: 'cri',
  2: 'io.containerd.grpc.v1.cri',
  3: 'io.containerd.cri.v1.runtime',
} as const;
