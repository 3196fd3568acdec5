import { type Observed, valueOr } from '../../model/observed.ts';
import type { KubeletConfigFacts, RuntimeConfigFacts } from '../../model/runtime-config.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import type { Run } from '../child.ts';
import type { RunningKubeletConfig } from '../kube/configz.ts';
import { observeKubeletConfig } from './kubelet.ts';
import { observeRuntimeConfig } from './runtime.ts';

/** Who supplies the sources instead; with a `node` of somebody else's this machine's files are not its own. */
export interface ConfigSources {
  readonly node?: unknown;
  readonly runtimeConfig?: () => Promise<Observed<RuntimeConfigFacts>>;
  readonly kubeletConfig?: () => Promise<Observed<KubeletConfigFacts>>;
  /** What kubelet's own flags and files say, where they have been read already. */
  readonly kubeletFiles?: () => Promise<Observed<KubeletConfigFacts>>;
  /** Asks kubelet itself (`/configz`) on the machine of this name. */
  readonly askKubelet?: (hostname: string) => Promise<Observed<RunningKubeletConfig>>;
}

/** The two sources about configuration, after the others; a field is absent where nobody was to look. */
export async function observeConfigs(
  to: Snapshot,
  socket: string | undefined,
  root: string,
  run: Run,
  sources: ConfigSources,
): Promise<Pick<Snapshot, 'runtimeConfig' | 'kubeletConfig'>> {
  const elsewhere = sources.node !== undefined;
  const runtime = valueOr(to.runtime, undefined);
  const unit = valueOr(to.runtimeUnit, undefined)?.name;
  const pid = valueOr(to.processes, undefined)?.runtimePid;
  const readRuntime = () => {
    const { name = '', version = '', handlers, defaultHandler } = runtime ?? {};
    const live = handlers && defaultHandler !== undefined ? { live: { handlers, defaultHandler } } : {};
    const more = { ...(pid === undefined ? {} : { pid }), ...(socket ? { socket } : {}), ...(unit ? { unit } : {}) };
    return observeRuntimeConfig({ name, version, ...live, ...more }, root, run);
  };
  const kubeletFiles = sources.kubeletFiles ?? (() => observeKubeletConfig(to.kubelet, root));
  const readKubelet = async () => withConfigz(await kubeletFiles(), to, sources);
  const [runtimeConfig, kubeletConfig] = await Promise.all([
    sources.runtimeConfig?.() ?? (elsewhere ? undefined : readRuntime()),
    sources.kubeletConfig?.() ?? (elsewhere ? undefined : readKubelet()),
  ]);
  return { ...(runtimeConfig ? { runtimeConfig } : {}), ...(kubeletConfig ? { kubeletConfig } : {}) };
}

/**
 * What kubelet says of itself, where nothing on this machine tells its driver (a kubelet inside another program, before
 * its first pod) and the API has answered already: one request that most nodes never need.
 */
async function withConfigz(
  read: Observed<KubeletConfigFacts>,
  { pods, node }: Snapshot,
  { askKubelet }: ConfigSources,
): Promise<Observed<KubeletConfigFacts>> {
  if (!read.known || !pods.known || askKubelet === undefined) return read;
  const { drivers, onDisk } = read.value;
  if (drivers.length > 0 || onDisk.length === 1) return read;
  const answer = await askKubelet(valueOr(node, undefined)?.hostname ?? '');
  if (!answer.known) return read;
  const { driver, asksRuntime, cgroupRoot } = answer.value;
  return {
    known: true,
    value: {
      ...(asksRuntime === undefined ? {} : { asksRuntime }),
      ...(cgroupRoot === undefined ? {} : { cgroupRoot }),
      ...read.value,
      drivers: driver === undefined ? [] : [{ driver, from: 'configz' }],
    },
  };
}
