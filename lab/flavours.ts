import type { Rig } from '../src/embedded/rig.ts';

export type Flavour = Rig['flavour'];

/** What differs between the containerd versions of the laboratory. Everything else is shared. */
export interface FlavourFacts {
  /** The Debian suite that carries this version. */
  readonly suite: 'bookworm' | 'trixie' | 'sid';
  /** What the version must begin with: `sid` moves, and a transcript belongs to one minor version. */
  readonly minor: `${number}.${number}.`;
  /** The version of containerd's configuration file. */
  readonly configVersion: 2 | 3;
}

export const flavours: Readonly<Record<Flavour, FlavourFacts>> = {
  '1.6': { suite: 'bookworm', minor: '1.6.', configVersion: 2 },
  '1.7': { suite: 'trixie', minor: '1.7.', configVersion: 2 },
  '2.1': { suite: 'sid', minor: '2.1.', configVersion: 3 },
};

export const allFlavours = ['1.6', '1.7', '2.1'] as const satisfies readonly Flavour[];

/** The name of the image for sandboxes and for workloads; it is made by hand and imported (pause-image.ts). */
export const pauseImage = 'sandwarden.test/pause:1';
export const workloadImage = 'sandwarden.test/workload:1';

export interface ConfigPaths {
  readonly root: string;
  readonly state: string;
  readonly socket: string;
  readonly cniBin: string;
  readonly cniConf: string;
  readonly opt: string;
  readonly runc: string;
}

/**
 * containerd's configuration. `restrict_oom_score_adj` and `disable_apparmor` let it run where CAP_SYS_RESOURCE or
 * AppArmor are missing (containers, CI machines); neither touches names, records or CNI.
 * `withCri: false` disables the plugin that recovers sandboxes, for work on the records.
 */
export function configToml(flavour: Flavour, paths: ConfigPaths, withCri: boolean): string {
  const { configVersion } = flavours[flavour];
  const common = `version = ${configVersion}
root = ${quote(paths.root)}
state = ${quote(paths.state)}
disabled_plugins = [${withCri ? '' : '"io.containerd.grpc.v1.cri"'}]
[grpc]
  address = ${quote(paths.socket)}
[plugins."io.containerd.internal.v1.opt"]
  path = ${quote(paths.opt)}
`;
  return common + (configVersion === 2 ? criVersion2(paths) : criVersion3(paths));
}

function criVersion2(paths: ConfigPaths): string {
  return `[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = ${quote(pauseImage)}
  restrict_oom_score_adj = true
  disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  BinaryName = ${quote(paths.runc)}
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = ${quote(paths.cniBin)}
  conf_dir = ${quote(paths.cniConf)}
`;
}

function criVersion3(paths: ConfigPaths): string {
  return `[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = ${quote(pauseImage)}
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  disable_apparmor = true
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  BinaryName = ${quote(paths.runc)}
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = [${quote(paths.cniBin)}]
  conf_dir = ${quote(paths.cniConf)}
[plugins."io.containerd.nri.v1.nri"]
  disable = true
`;
}

/** A TOML basic string: paths of ours hold nothing that JSON and TOML quote differently. */
function quote(text: string): string {
  return JSON.stringify(text);
}
