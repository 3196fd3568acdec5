/**
 * Ctrl-C in the middle of a run leaves nothing behind: what was registered is closed, then the signal does its work.
 */
const open = new Set<() => Promise<void>>();
let listening = false;

/** `close` is called once when the process is told to end. The returned function takes it off again. */
export function closeAtSignals(close: () => Promise<void>): () => void {
  open.add(close);
  if (!listening) {
    listening = true;
    for (const name of signals) process.on(name, onSignal);
  }
  return () => {
    open.delete(close);
    if (open.size > 0) return;
    listening = false;
    for (const name of signals) process.off(name, onSignal);
  };
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

function onSignal(name: NodeJS.Signals): void {
  const closing = [...open].map((close) => close());
  void Promise.allSettled(closing).then((results) => {
    for (const result of results) if (result.status === 'rejected') console.error(result.reason);
    for (const each of signals) process.off(each, onSignal);
    process.kill(process.pid, name);
  });
}
