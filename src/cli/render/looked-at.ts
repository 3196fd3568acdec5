import type { Diagnosis } from '../../model/finding.ts';
import type { EndpointInfo } from '../../model/node.ts';
import { wrap } from './layout.ts';
import { exact, paint, type Style } from './style.ts';

/** Which of several runtimes was looked at and why, in one sentence; undefined where there was one. */
export function lookedAtSentence(lookedAt: EndpointInfo | undefined): string | undefined {
  if (lookedAt === undefined) return undefined;
  const { endpoint, from, others, passedOver = [] } = lookedAt;
  const because = passedOver.length === 0 ? '' : `, because ${passedOver.map((each) => each.why).join(', and ')}`;
  const taken = `Looked at ${endpoint} (${from})${because}`;
  if (others.length === 0) return `${taken}.`;
  const live = `${others.join(', ')} ${others.length === 1 ? 'is' : 'are'} live too`;
  return `${taken}; ${live}: '--runtime-endpoint' names another.`;
}

/** That sentence as lines of a report; none where there was one runtime. */
export function lookedAtLines({ lookedAt }: Pick<Diagnosis, 'lookedAt'>, style: Style): string[] {
  const sentence = lookedAtSentence(lookedAt);
  if (sentence === undefined) return [];
  return wrap(exact(style, sentence), style.width).map((line) => paint(style, 'dim', line));
}
