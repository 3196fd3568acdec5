import type { Finding, Gap, Severity, Tier } from '../model/finding.ts';
import type { SnapshotSource } from '../model/snapshot.ts';
import type { Facts } from './facts.ts';

/**
 * A finding's one definition: its code, its words, its documentation and the rule that finds it.
 * Help, docs pages, SARIF rules, completion and metric labels are made from it.
 */
export interface Rule {
  /** `SW101`: stable, never reused. */
  readonly code: string;
  /** `ghost-holds-name`: for SARIF and for people who dislike numbers. */
  readonly name: string;
  /** A statement, as a headline. */
  readonly title: string;
  /** The worst severity it is reported with. */
  readonly severity: Severity;
  /** One sentence for lists. */
  readonly says: string;
  /** What is going on and why, in Markdown paragraphs, for `explain` and the docs page. */
  readonly explanation: string;
  /** What the finding quotes. */
  readonly evidence: string;
  readonly remedy: { readonly tier: Tier | 'none'; readonly text: string };
  /** Where the facts come from: file and function, or document. */
  readonly sources: readonly string[];
  /**
   * What must have been seen for "nothing found" to mean that nothing is there; where it depends on the node, by its
   * facts. A gap is something that is missing for certain.
   */
  readonly needs: readonly SnapshotSource[] | ((facts: Facts) => readonly (SnapshotSource | Gap)[]);
  /** Pure. Gives findings in any order; an empty list where nothing is wrong or nothing can be known. */
  examine(facts: Facts): Finding[];
  /** Pure. What follows from the findings of all rules together; for the few findings that are made of others. */
  conclude?(facts: Facts, findings: readonly Finding[]): Finding[];
}
