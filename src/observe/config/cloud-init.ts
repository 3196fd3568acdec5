/** The boot stage of cloud-init that runs a module: `init` is cloud-init.service, `final` cloud-final.service. */
export type CloudStage = 'init' | 'final';

/**
 * The stage that a unit of cloud-init is, of those that write files for a user. Since 24.3 the stage `init` is
 * cloud-init-network.service, and cloud-init.service is gone.
 */
export function stageOfUnit(unit: string): CloudStage | undefined {
  if (unit === 'cloud-final.service') return 'final';
  return unit === 'cloud-init.service' || unit === 'cloud-init-network.service' ? 'init' : undefined;
}

/**
 * The number of the first line of user data that `writes`, and that this stage runs. config/cloud.cfg.tmpl:
 * `cloud_init_modules` has write_files and bootcmd, `cloud_final_modules` has write_files_deferred and what runs runcmd
 * and scripts; boot hooks are run when the user data is read. What the content of a written file does is done by who
 * runs that: by a script or by runcmd, most likely.
 */
export function userDataLine(text: string, stage: CloudStage, writes: (line: string) => boolean): number | undefined {
  const lines = text.split('\n');
  const found = lines.findIndex((line, index) => {
    if (/^\s*#/.test(line) || !writes(line)) return false;
    const section = sectionOf(lines, index);
    if (section !== 'write_files')
      return (section === 'bootcmd' || section === 'boothook' ? 'init' : 'final') === stage;
    const file = lines.slice(...itemAround(lines, index));
    const named = file.find((each) => key(each, 'path'));
    if (named === undefined || !writes(named)) return stage === 'final';
    const isDeferred = file.some((each) => key(each, 'defer') && /:\s*['"]?(?:true|yes|on)\b/i.test(each));
    return key(line, 'path') && (isDeferred ? 'final' : 'init') === stage;
  });
  return found === -1 ? undefined : found + 1;
}

/** The key at the margin that a line stands under; where there is none, the kind of the part it is in. */
function sectionOf(lines: readonly string[], index: number): string | undefined {
  for (const line of lines.slice(0, index + 1).reverse()) {
    const name = /^(\w+)\s*:/.exec(line)?.[1];
    if (name !== undefined) return name;
    if (/^#cloud-boothook/.test(line)) return 'boothook';
    if (/^--\S/.test(line)) return undefined;
  }
  return undefined;
}

/** The lines of the list's entry that a line is part of: from its dash to the next one that is no deeper. */
function itemAround(lines: readonly string[], index: number): [number, number] {
  const margin = lines.slice(0, index).findLastIndex((line) => /^\w+\s*:/.test(line));
  const first = lines.findIndex((line, at) => at > margin && /^\s*-\s/.test(line));
  const depth = indent(lines[first] ?? '');
  const begins = (line: string) => /^\s*-\s/.test(line) && indent(line) <= depth;
  const start = lines.slice(0, index + 1).findLastIndex(begins);
  const end = lines.findIndex((line, at) => at > index && (begins(line) || /^\S/.test(line)));
  return [Math.max(start, margin + 1), end === -1 ? lines.length : end];
}

function indent(line: string): number {
  return line.length - line.trimStart().length;
}

function key(line: string, name: string): boolean {
  return new RegExp(`^\\s*(?:-\\s+)?${name}\\s*:`).test(line);
}
