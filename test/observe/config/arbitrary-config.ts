import fc from 'fast-check';

/** A file of a generated configuration, by its name under the folder of the main file. */
export interface GeneratedFile {
  readonly name: string;
  readonly text: string;
}

interface Runtime {
  readonly runtime_type?: string | undefined;
  readonly options?: { SystemdCgroup?: boolean | undefined; BinaryName?: string | undefined } | undefined;
}

interface Cri {
  readonly other?: string | undefined;
  readonly cni?: string | undefined;
  readonly containerd?:
    | {
        readonly default_runtime_name?: string | undefined;
        readonly runtimes?: Readonly<Record<string, Runtime>> | undefined;
      }
    | undefined;
}

const names = ['runc', 'kata', 'nvidia'] as const;
const optional = <T>(value: fc.Arbitrary<T>, freq = 2) => fc.option(value, { nil: undefined, freq });

const runtime: fc.Arbitrary<Runtime> = fc.record({
  runtime_type: optional(fc.constantFrom('io.containerd.runc.v2', 'io.containerd.kata.v2'), 3),
  options: optional(
    fc.record({ SystemdCgroup: optional(fc.boolean(), 4), BinaryName: optional(fc.constant('/usr/bin/runc'), 1) }),
    4,
  ),
});

const runtimes: fc.Arbitrary<Readonly<Record<string, Runtime>>> = fc.dictionary(fc.constantFrom(...names), runtime, {
  minKeys: 0,
  maxKeys: 3,
});

const cri: fc.Arbitrary<Cri> = fc.record({
  other: optional(fc.constantFrom('example.test/pause:1', 'example.test/pause:2'), 1),
  cni: optional(fc.constant('/opt/cni/bin'), 1),
  containerd: optional(
    fc.record({
      default_runtime_name: optional(fc.constantFrom(...names), 1),
      runtimes: optional(runtimes, 4),
    }),
    4,
  ),
});

const cri2 = 'io.containerd.grpc.v1.cri';
const cri3 = 'io.containerd.cri.v1.runtime';

const layouts = [
  // The names of the files that each file imports, by its place; the first is the main file.
  { files: ['main.toml'], imports: [[]] },
  { files: ['main.toml', 'conf.d/a.toml', 'conf.d/b.toml'], imports: [['conf.d/*.toml'], [], []] },
  { files: ['main.toml', 'x.toml', 'y.toml'], imports: [['x.toml'], ['y.toml'], ['main.toml', 'x.toml']] },
  { files: ['main.toml', 'b.toml', 'conf.d/a.toml'], imports: [['b.toml', 'conf.d/?.tom*'], [], ['../b.toml']] },
  { files: ['main.toml', 'sub/x.toml', 'sub/y.toml'], imports: [['sub/x.toml'], ['y.toml'], ['y.toml']] },
] as const;

/** Configurations of one to three files; `versions` are those a file may have (0: it names none), `mains` the first. */
export function configurations(
  versions: readonly number[],
  mains: readonly number[] = versions,
): fc.Arbitrary<readonly GeneratedFile[]> {
  const file = fc.record({
    version: fc.constantFrom(...versions),
    old: optional(cri, 3),
    new: optional(cri, 2),
    style: fc.constantFrom<Style>('headers', 'inline', 'dotted'),
    short: versions.includes(1) ? fc.boolean() : fc.constant(false),
  });
  return fc
    .record({
      layout: fc.constantFrom(...layouts),
      contents: fc.tuple(file, file, file),
      main: fc.constantFrom(...mains),
    })
    .map(({ layout, contents, main }) =>
      layout.files.map((name, index) => {
        const own = contents[index] ?? contents[0];
        const version = index === 0 ? main : own.version;
        const head = [
          ...(version > 0 ? [`version = ${version}`] : []),
          `imports = ${JSON.stringify(layout.imports[index] ?? [])}`,
        ];
        return {
          name,
          text: `${[...head, ...render(version <= 1 && own.short ? 'cri' : cri2, own.old, own.style), ...render(cri3, own.new, own.style)].join('\n')}\n`,
        };
      }),
    );
}

type Style = 'headers' | 'inline' | 'dotted';

function render(table: string, of: Cri | undefined, style: Style): string[] {
  if (of === undefined) return [];
  const lines: string[] = [`[plugins.${style === 'dotted' ? `'${table}'` : `"${table}"`}]`];
  const path = `plugins."${table}"`;
  if (of.other !== undefined && table !== cri3) lines.push(`sandbox_image = "${of.other}"`);
  if (of.other !== undefined && table === cri3) lines.push('max_container_log_line_size = 16384');
  if (of.cni !== undefined) lines.push(`[${path}.cni]`, 'conf_dir = "/etc/cni/net.d"');
  const { containerd } = of;
  if (containerd === undefined) return lines;
  lines.push(`[${path}.containerd]`);
  if (containerd.default_runtime_name !== undefined) {
    lines.push(`default_runtime_name = "${containerd.default_runtime_name}"`);
  }
  const entries = Object.entries(containerd.runtimes ?? {});
  if (style === 'inline' && containerd.runtimes) lines.push(`runtimes = {${entries.map(inlineRuntime).join(', ')}}`);
  else if (style === 'dotted') lines.push(...entries.flatMap(dottedRuntime));
  else lines.push(...entries.flatMap((each) => headerRuntime(path, each)));
  return lines;
}

function inlineRuntime([name, of]: [string, Runtime]): string {
  const parts = pairsOf({ runtime_type: of.runtime_type });
  if (of.options) parts.push(`options = {${pairsOf(of.options).join(', ')}}`);
  return `${name} = {${parts.join(', ')}}`;
}

function dottedRuntime([name, of]: [string, Runtime]): string[] {
  const own = pairsOf({ runtime_type: of.runtime_type }).map((each) => `runtimes.${name}.${each}`);
  return [...own, ...pairsOf(of.options ?? {}).map((each) => `runtimes.${name}.options.${each}`)];
}

function headerRuntime(path: string, [name, of]: [string, Runtime]): string[] {
  const head = [`[${path}.containerd.runtimes.${name}]`, ...pairsOf({ runtime_type: of.runtime_type })];
  if (of.options) head.push(`[${path}.containerd.runtimes.${name}.options] # its own`, ...pairsOf(of.options));
  return head;
}

function pairsOf(of: Readonly<Record<string, string | boolean | undefined>>): string[] {
  return Object.entries(of).flatMap(([key, value]) =>
    value === undefined ? [] : [`${key} = ${JSON.stringify(value)}`],
  );
}
