import { readdir, stat } from 'node:fs/promises';
import { limits } from '../../model/limits.ts';
import { isErrno, readText } from '../read-file.ts';

/** Reads configuration files; the port that tests replace. */
export interface FileSource {
  /** Undefined where it is not there. Throws ERR_FORBIDDEN, ERR_FILE. */
  read(path: string): Promise<{ readonly text: string; readonly modifiedNs?: bigint } | undefined>;
  /** The names in a folder, in order; none where it is not there or may not be read. */
  names(folder: string): Promise<readonly string[]>;
}

/** The files of this machine; `root` is a prefix of every path. */
export function filesUnder(root = ''): FileSource {
  return {
    read: async (path) => {
      const text = await readText(`${root}${path}`, limits.configBytes);
      if (text === undefined) return undefined;
      const modifiedNs = await modified(`${root}${path}`);
      return { text, ...(modifiedNs === undefined ? {} : { modifiedNs }) };
    },
    names: async (folder) => {
      try {
        return (await readdir(`${root}${folder}`)).sort();
      } catch (error) {
        if (isErrno(error)) return [];
        throw error;
      }
    },
  };
}

async function modified(path: string): Promise<bigint | undefined> {
  try {
    return (await stat(path, { bigint: true })).mtimeNs;
  } catch (error) {
    if (isErrno(error)) return undefined;
    throw error;
  }
}

/**
 * The paths that match a pattern of Go's filepath.Glob (`*`, `?`, `[a-z]`, `\\`), in its order: by name in each folder.
 * An import's pattern that is no pattern at all matches nothing.
 */
export async function glob(pattern: string, files: FileSource): Promise<string[]> {
  const absolute = pattern.startsWith('/');
  let found: string[] = [''];
  for (const part of pattern.split('/').filter((each) => each !== '' && each !== '.')) {
    const expression = /[*?[\\]/.test(part) ? expressionOf(part) : undefined;
    const next: string[] = [];
    for (const folder of found) {
      if (expression === undefined) next.push(`${folder}/${part}`);
      else {
        const names = await files.names(folder === '' && !absolute ? '.' : folder || '/');
        next.push(...names.filter((name) => expression.test(name)).map((name) => `${folder}/${name}`));
      }
      if (next.length > limits.configFiles) break;
    }
    found = next;
  }
  return found.filter((each) => each !== '');
}

/** A part without `/`: nothing in it may cross a folder, and nothing can make the match slow. */
function expressionOf(part: string): RegExp {
  let source = '';
  for (let index = 0; index < part.length; index += 1) {
    const character = part.charAt(index);
    const close = character === '[' ? part.indexOf(']', index + 2) : -1;
    if (character === '*') source += source.endsWith('[^/]*?') ? '' : '[^/]*?';
    else if (character === '?') source += '[^/]';
    else if (close > 0) {
      const inside = part.slice(index + 1, close).replace(/[[\]\\]/g, '\\$&');
      source += `[${inside.startsWith('^') ? `^${inside.slice(1)}` : inside}]`;
      index = close;
    } else if (character === '\\') {
      index += 1;
      source += literal(part.charAt(index));
    } else source += literal(character);
  }
  try {
    return new RegExp(`^${source}$`, 'u');
  } catch (error) {
    // `[z-a]`: Go calls it a bad pattern; it matches nothing.
    if (error instanceof SyntaxError) return /(?!)/;
    throw error;
  }
}

function literal(character: string): string {
  return character.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&');
}
