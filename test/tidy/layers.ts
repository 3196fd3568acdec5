import { posix } from 'node:path';
import type { Offence, Source } from './source.ts';

/** What a room may import besides itself, by the table in ARCHITECTURE.md. */
const rooms: Readonly<Record<string, readonly string[]>> = {
  model: [],
  cri: ['model'],
  kube: ['model'],
  systemd: ['model'],
  observe: ['model', 'cri', 'kube', 'systemd'],
  watch: ['model', 'systemd', 'observe'],
  diagnose: ['model'],
  heal: ['model', 'diagnose'],
  embedded: ['model', 'cri'],
  boot: ['model', 'cri', 'kube', 'systemd', 'observe', 'diagnose', 'heal'],
  cli: ['model', 'cri', 'kube', 'systemd', 'observe', 'diagnose', 'heal', 'embedded', 'boot', 'watch'],
  'main.ts': ['cli', 'model'],
};

/** What imports no `node:` module and no package: it can be run in a test without a machine. */
const pure = /^src\/(model|diagnose)\/|^src\/heal\/plan\.ts$/;

/** The arrows between rooms, and what is pure. */
export function layers(source: Source): Offence[] {
  const room = /^src\/([^/]+)/.exec(source.path)?.[1];
  if (room === undefined) return [];
  const allowed = rooms[room];
  if (allowed === undefined) return [{ path: source.path, line: 1, what: `src/${room} is not in the table of rooms` }];
  return source.imports.flatMap(({ specifier, line }) => {
    const what = wrongImport(source.path, room, allowed, specifier);
    return what === undefined ? [] : [{ path: source.path, line, what }];
  });
}

function wrongImport(path: string, room: string, allowed: readonly string[], specifier: string): string | undefined {
  if (!specifier.startsWith('.')) {
    return pure.test(path) ? `is pure and imports ${specifier}` : undefined;
  }
  const target = posix.normalize(posix.join(posix.dirname(path), specifier));
  const [top, other = ''] = target.split('/');
  if (top !== 'src') return `src imports ${target}`;
  return other === room || allowed.includes(other) ? undefined : `${room} may not import ${other} (${target})`;
}
