/** A fragment as a sentence: a capital first (but for kubelet's own name) and a full stop. */
export function sentence(text: string): string {
  const trimmed = text.trim();
  const first = /^(kubelet|containerd|runc)\b/.test(trimmed)
    ? trimmed
    : trimmed.replace(/^\p{Ll}/u, (a) => a.toUpperCase());
  return /[.!?:`]$/.test(first) ? first : `${first}.`;
}
