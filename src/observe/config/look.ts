import { type Observed, valueOr } from '../../model/observed.ts';
import type { KubeletConfigFacts, RuntimeConfigFacts } from '../../model/runtime-config.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import type { Run } from '../child.ts';
import { observeKubeletConfig } from './kubelet.ts';
import { observeRuntimeConfig } from './runtime.ts';

/** Who supplies the sources instead; with a `node` of somebody else's this machine's files are not its own. */
export interface ConfigSources {
  readonly node?: unknown;
  readonly runtimeConfig?: () => Promise<Observed<RuntimeConfigFacts>>;
  readonly kubeletConfig?: () => Promise<Observed<KubeletConfigFacts>>;
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
  const [runtimeConfig, kubeletConfig] = await Promise.all([
    sources.runtimeConfig?.() ?? (elsewhere ? undefined : readRuntime()),
    sources.kubeletConfig?.() ?? (elsewhere ? undefined : observeKubeletConfig(to.kubelet, root)),
  ]);
  return { ...(runtimeConfig ? { runtimeConfig } : {}), ...(kubeletConfig ? { kubeletConfig } : {}) };
}
