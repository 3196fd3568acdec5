import type { HandlerSettings } from '../../model/runtime-config.ts';
import { settingsOf } from './containerd-merge.ts';
import { criTables } from './containerd-tables.ts';
import { parseToml, tableAt } from './toml.ts';

/** What `containerd config dump` says of the handlers, by whichever table it has; undefined where it has none. */
export async function readDump(dump: string): Promise<HandlerSettings | undefined> {
  const parsed = await parseToml(dump, 'containerd config dump', true);
  if (!parsed.ok) return undefined;
  const plugins = tableAt(parsed.table, 'plugins');
  const cri = tableAt(plugins, criTables[3]) ?? tableAt(plugins, criTables[2]);
  // The dump is complete: no built-in handler is missing in it.
  const { handlers, defaultHandler } = settingsOf(cri, 'replace-plugins');
  return { handlers: handlers.map(({ at: _, ...rest }) => rest), defaultHandler };
}
