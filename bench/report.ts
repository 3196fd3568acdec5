/** What a bench found, as lines and as a verdict. */
import { cpus, loadavg, release, totalmem } from 'node:os';

/** One figure against its limit. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: '×' | 'ms' | 'MB';
  /** The most that the project allows itself. */
  readonly limit: number;
  /** What it was made of: `42.1 ms against 30.2 ms`. */
  readonly from: string;
}

/** The machine, since no figure means anything without it. */
export function machineLine(): string {
  const [cpu] = cpus();
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  const load = loadavg()[0]?.toFixed(2);
  const model = `${cpus().length} × ${cpu?.model.trim() ?? process.arch}`;
  return `${model}, ${memory}, Linux ${release()}, Node ${process.version}, load ${load}`;
}

/** One line per figure, aligned. */
export function table(figures: readonly Figure[]): string[] {
  const width = Math.max(...figures.map((figure) => figure.name.length));
  return figures.map((figure) => {
    const value = `${show(figure.value)} ${figure.unit}`.padStart(10);
    const limit = `≤ ${figure.limit} ${figure.unit}`.padEnd(9);
    return `${figure.name.padEnd(width)} ${value}  ${limit} ${isOver(figure) ? 'OVER' : 'ok  '}  ${figure.from}`;
  });
}

/** Whether a figure is beyond its limit. */
export function isOver(figure: Figure): boolean {
  return !(figure.value <= figure.limit);
}

/** `12.3 ms` and so on, for the column that says where a figure comes from. */
export function show(value: number): string {
  return value < 100 ? value.toFixed(2) : value.toFixed(0);
}
