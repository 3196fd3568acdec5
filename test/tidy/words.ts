import type { Offence, Source } from './source.ts';

/** What marks unfinished work. The brackets keep this file from finding itself. */
const unfinished = /\b(TO[D]O|FIX[M]E|XX[X]|HAC[K])\b|\b[Ss]tu[b](s|bed)?\b|not implemented ye[t]/;

/** What is not about the project: how or where somebody worked on it. */
const foreign = [
  /\bA[I]\b|\bLL[M]s?\b|\b[Ll]anguage model[s]?\b|\b[Cc]hat ?bo[t]s?\b/,
  /\b[Cc]l[a]ude\b|\b[Aa]nthr[o]pic\b|\b[Oo]pen[A]I\b|\b[Cc]op[i]lot\b|[Cc]o-[Aa]uthored-b[y]/,
  /\b(this|previous|last|next|another) sessio[n]\b|\bsub-?agen[t]s?\b/i,
  /\/wor[k]\/|\/tm[p]\/brief|\bshared\/(design|facts|recordings|seed[s])\b|\bissues sho[w]\b/,
];

/** No marks of unfinished work in code. */
export function unfinishedWork(source: Source): Offence[] {
  return /\.(m?ts|sh|ya?ml)$|^Makefile$|^\.ci\//.test(source.path) ? find(source, [unfinished]) : [];
}

/** Nothing in the project speaks of anything else. */
export function foreignWords(source: Source): Offence[] {
  return find(source, foreign);
}

function find(source: Source, patterns: readonly RegExp[]): Offence[] {
  return source.lines.flatMap((text, index) => {
    const word = patterns.map((pattern) => pattern.exec(text)?.[0]).find((found) => found !== undefined);
    return word === undefined ? [] : [{ path: source.path, line: index + 1, what: `says \`${word}\`` }];
  });
}
