import { stat } from 'node:fs/promises';
import { isSandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import type { ConfigWriter } from '../../model/runtime-config.ts';
import { isErrno, readText } from '../read-file.ts';
import type { ShownUnit } from './writers.ts';

/** Programs that start no unit by themselves, whatever they are told. */
const harmless = new Set(
  [
    'sh bash dash ash env busybox cat cp mv tee sed awk grep install mkdir rm ln chmod chown touch test echo printf',
    'sleep true date mktemp sort head tail cut tr curl jq yq containerd nvidia-ctk',
  ]
    .join(' ')
    .split(' '),
);
const starts = /\b(?:systemctl|busctl|dbus-send|systemd-run|nodeadm)\b|(?:^|[;&|(]\s*|\bsudo\s+)service\s/m;

/**
 * Whether a unit starts units itself, by the text of its commands, of the scripts they name, and of the scripts that
 * those name. Not known where a program is run whose text nobody can read. nodeadm-run starts containerd and waits for
 * it, nodeadm-config does not (`--skip run`): awslabs/amazon-eks-ami nodeadm/cmd/nodeadm/init.
 */
export async function startsUnits(
  unit: Pick<ShownUnit, 'id' | 'commands'>,
  root: string,
): Promise<Pick<ConfigWriter, 'startsUnits'>> {
  if (unit.id === 'nodeadm-config.service') return { startsUnits: false };
  if (unit.id === 'nodeadm-run.service') return { startsUnits: true };
  // cloud-init runs what its user data says.
  if (/^cloud-/.test(unit.id) || unit.commands.length === 0) return {};
  const said = await saidBy(unit.commands.join('\n'), root, 2);
  return said === undefined ? {} : { startsUnits: said };
}

async function saidBy(text: string, root: string, deeper: number): Promise<boolean | undefined> {
  if (starts.test(text)) return true;
  let isKnown = true;
  for (const path of new Set(text.match(/(?<![\w.-])\/[\w./@+-]+/g) ?? [])) {
    const name = path.slice(path.lastIndexOf('/') + 1);
    if (harmless.has(name) || !(await isProgram(`${root}${path}`))) continue;
    const script = await scriptAt(`${root}${path}`);
    const said = script === undefined || deeper === 0 ? undefined : await saidBy(script, root, deeper - 1);
    if (said) return true;
    if (said === undefined) isKnown = false;
  }
  return isKnown ? false : undefined;
}

async function isProgram(path: string): Promise<boolean> {
  try {
    const found = await stat(path);
    return found.isFile() && (found.mode & 0o111) !== 0;
  } catch (error) {
    if (isErrno(error)) return false;
    throw error;
  }
}

/** A script's text; undefined for what is no text, or no file. */
async function scriptAt(path: string): Promise<string | undefined> {
  try {
    const text = await readText(path, limits.unitFileBytes);
    return text?.startsWith('#!') ? text : undefined;
  } catch (error) {
    if (isSandwardenError(error, 'ERR_FILE', 'ERR_FORBIDDEN')) return undefined;
    throw error;
  }
}
