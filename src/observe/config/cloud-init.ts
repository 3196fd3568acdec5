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
  return placesIn(text.split('\n')).find(({ line, section, file }) => {
    if (/^\s*#/.test(line) || !writes(line)) return false;
    if (section === 'bootcmd' || section === 'boothook') return stage === 'init';
    if (section !== 'write_files' || file.path === undefined || !writes(file.path)) return stage === 'final';
    return line === file.path && (file.isDeferred ? 'final' : 'init') === stage;
  })?.number;
}

/** A line with the key at the margin that it stands under, and the entry of the list there that it is part of. */
interface Place {
  readonly number: number;
  readonly line: string;
  /** Where there is no key, the kind of the part it is in. */
  readonly section: string | undefined;
  readonly file: { path?: string; isDeferred?: boolean };
}

function placesIn(lines: readonly string[]): Place[] {
  let [section, depth, file]: [string | undefined, number | undefined, Place['file']] = [undefined, undefined, {}];
  return lines.map((line, index) => {
    const name = /^(\w+)\s*:/.exec(line)?.[1] ?? (/^#cloud-boothook/.test(line) ? 'boothook' : undefined);
    // A part of its own begins; the dash of a list has a space behind it.
    if (name !== undefined || /^--\S/.test(line)) [section, depth, file] = [name, undefined, {}];
    if (/^\s*-\s/.test(line) && indent(line) <= (depth ?? indent(line))) [depth, file] = [indent(line), {}];
    if (isKey(line, 'path')) file.path ??= line;
    if (isKey(line, 'defer') && /:\s*['"]?(?:true|yes|on)\b/i.test(line)) file.isDeferred = true;
    return { number: index + 1, line, section, file };
  });
}

function indent(line: string): number {
  return line.length - line.trimStart().length;
}

const keys = { path: /^\s*(?:-\s+)?path\s*:/, defer: /^\s*(?:-\s+)?defer\s*:/ };

function isKey(line: string, name: keyof typeof keys): boolean {
  return keys[name].test(line);
}
