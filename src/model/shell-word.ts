/** A word of a shell script: as it is where the shell takes it so, in single quotes otherwise. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** A command to be pasted: names in it come from others, and a shell shall take them for nothing but words. */
export function shellLine(...words: readonly string[]): string {
  return words.map(shellWord).join(' ');
}
