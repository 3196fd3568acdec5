/**
 * What only reads its files, whatever it is told, but for a redirection; sed, awk and yq where they do not write in
 * place. containerd itself writes its configuration by no command but those of `tools`.
 */
const readers = new Set(
  [
    'cat grep egrep fgrep zgrep test [ [[ head tail less more wc stat ls file diff cmp readlink realpath jq sort uniq',
    'md5sum sha1sum sha256sum sha512sum cksum echo printf logger crictl ctr containerd mkdir chmod chown',
    'sed awk gawk mawk yq tomlq read done fi',
  ]
    .join(' ')
    .split(' '),
);
const inPlace = new Set('sed awk gawk mawk yq tomlq'.split(' '));

const tools = new RegExp(
  [
    'nodeadm\\s+(?:init|config|run)',
    'nvidia-ctk\\s+runtime\\s+configure',
    'nvidia-(?:container-)?toolkit',
    'kata-deploy',
    'containerd\\s+config\\s+(?:default|migrate)',
  ]
    .map((each) => `\\b${each}\\b`)
    .join('|'),
);

/**
 * Whether a command, or a line of a script, writes below `folder` (with its slash at the end), as far as its text
 * tells: it runs a tool that is known to, or it names the folder otherwise than to read there. What a program that is
 * not known does with a name that it is given, nobody can say: it counts as a writer.
 */
export function writesBelow(folder: string, text: string): boolean {
  if (tools.test(text)) return true;
  // The folder of everything is named by each path.
  if (folder === '/' || !text.includes(folder)) return false;
  // systemctl prints the words of a command without the quotes around them.
  const plain = text.replace(/["'`]/g, ' ').replace(/^Exec\w+\s*=\s*[-@+!:|]*/, '');
  return plain
    .split(/&&|\|\||(?<!>)\||[;\n()]|(?<![>&])&(?![>&\d])/)
    .some((each) => each.includes(folder) && !readsOnly(each, folder));
}

/** A command without what stands before its name: a shell, words of the shell, a dash of a list in YAML. */
const before =
  /^\s*(?:-\s|(?:\S*\/)?(?:ba|da|a)?sh\s+(?:-\w+\s+)+|(?:if|elif|while|until|then|else|do|!|exec|command|sudo)\s)/;

function readsOnly(command: string, folder: string): boolean {
  let text = command;
  while (before.test(text)) text = text.replace(before, '');
  const words = text.trim().split(/\s+/);
  const name = words[0]?.slice(words[0].lastIndexOf('/') + 1) ?? '';
  if (redirectsInto(text, folder)) return false;
  if (name === 'cp') return copiesAway(words, folder);
  // A letter i among the options; sed writes a file by its command w, too.
  if (inPlace.has(name) && /\s-\w*i|\s--in-?place|w\s+\//.test(text)) return false;
  return readers.has(name);
}

/** A target that is no plain path might be anywhere. */
function redirectsInto(text: string, folder: string): boolean {
  return [...text.matchAll(/>{1,2}\|?\s*(\S*)/g)].some(
    ([, to = '']) => !/^&[\d-]/.test(to) && !isElsewhere(to, folder),
  );
}

function copiesAway(words: readonly string[], folder: string): boolean {
  const names = words.filter((each) => !/^\d?[<>]/.test(each));
  return !names.some((each) => /^-\w*t|^--target/.test(each)) && isElsewhere(names.at(-1) ?? '', folder);
}

function isElsewhere(path: string, folder: string): boolean {
  return /^\/[\w./@+-]*$/.test(path) && !path.includes('..') && !`${path}/`.startsWith(folder);
}
