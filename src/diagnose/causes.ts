/**
 * Which event can have caused which. A link is never made because two things are there at once: a rule has to say that
 * the one can cause the other, the cause must have begun first and still gone on (or just ended) when the effect
 * began, and the two must share what the rule asks for (a pod, a driver, a task). Where several causes hold, all are
 * given, ranked, each with what would decide between them.
 */

/** Something that happened, on one time axis. */
export interface CauseNode {
  readonly id: string;
  /** What it is: a code of the catalogue, or one of the words of `causeRules`. */
  readonly code: string;
  /** Nanoseconds on an axis that is common to all nodes; null where no clock tells. */
  readonly startNs: bigint | null;
  /** It was there when the axis began, which is the boot. */
  readonly sinceBoot?: true;
  /** null: it still goes on. */
  readonly endNs: bigint | null;
  /** What it is about: `pod:default/web`, `plugin:longhorn-system/x`, `driver:NAME`, `task:runc`. */
  readonly objects: ReadonlySet<string>;
  /** What it may be about, as far as one can tell: shared, it makes a cause possible and never more. */
  readonly maybe?: ReadonlySet<string>;
}

/** One way in which something can cause something else. */
export interface CauseRule {
  readonly causes: readonly string[];
  readonly effects: readonly string[];
  /** Why the one can cause the other: the end of a sentence that begins with the effect. */
  readonly because: string;
  /** The kinds of object of which one must be shared; empty where time alone has to do. */
  readonly shares: readonly string[];
  /** The effect begins at most this long after the cause ended. */
  readonly withinMs: number;
  /** What would prove or refute it. */
  readonly decidedBy: string;
}

/** A cause that holds. */
export interface HeldCause {
  readonly cause: CauseNode;
  readonly rule: CauseRule;
  /** What the two share: `pod default/web`; absent where the rule asks for nothing. */
  readonly shared?: string;
  /** Whether the two share it is not certain: a candidate to name, on which nothing may be built. */
  readonly possible?: true;
  /** How long after the cause's beginning the effect began, nanoseconds; null where one of the dates is not known. */
  readonly lagNs: bigint | null;
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** The codes of dead sandboxes. */
export const ghostCodes: readonly string[] = ['SW101', 'SW102', 'SW104', 'SW109'];

/** All rules there are; findings of volumes (SW3xx) hang in by their codes. */
export const causeRules: readonly CauseRule[] = [
  {
    causes: ['SW201'],
    effects: ghostCodes,
    because: 'sandboxes of a boot that ends without a shutdown come back dead, with their names reserved',
    shares: ['end'],
    // The node may have been without power for weeks.
    withinMs: 10_000 * HOUR,
    decidedBy: 'their creation dates: they are of the boot before',
  },
  {
    causes: ['SW202'],
    effects: ['SW102'],
    because: 'a clock that is behind makes dead sandboxes the newest of their pods',
    shares: [],
    withinMs: 30 * MINUTE,
    decidedBy: 'their creation dates: they are after the boot by this clock',
  },
  {
    causes: [...ghostCodes, 'SW103', 'SW106', 'SW703'],
    effects: ['SW301', 'SW302'],
    because: 'the node plugin of the driver is one of the pods that cannot start',
    // Only the plugin's own pod: that a pod which waits for a volume cannot start either keeps no driver away.
    shares: ['plugin'],
    withinMs: 30 * MINUTE,
    decidedBy: 'mend what holds up the plugin: it starts and its socket appears, or it does not',
  },
  {
    causes: ['SW105', 'SW701'],
    effects: ['SW301'],
    because: 'the node plugin of the driver is run by the runtime, which does not come up',
    shares: ['plugin'],
    withinMs: 30 * MINUTE,
    decidedBy: 'bring the runtime up: the socket answers, or it does not',
  },
  {
    causes: ['SW302'],
    effects: ['SW301'],
    because: 'a plugin that cannot start opens no socket; the file that may be there is of one that is dead',
    shares: ['plugin', 'driver'],
    withinMs: 30 * MINUTE,
    decidedBy: 'mend what holds up the plugin: its socket appears, or it does not',
  },
  {
    causes: ['SW301', 'SW302'],
    effects: ['SW303', 'SW401', 'sidecars'],
    because: 'the sidecars of the driver end at once without its socket, and are started again and again',
    shares: ['driver', 'sidecars'],
    withinMs: 30 * MINUTE,
    decidedBy: 'their last words: `crictl logs` names the socket, or something else',
  },
  {
    causes: ['SW301', 'SW303'],
    effects: ['SW305'],
    because: 'the attacher that should attach or let go of the volume goes through that socket',
    shares: ['attacher'],
    withinMs: 30 * MINUTE,
    decidedBy: 'the error of the VolumeAttachment, and the log of the attacher',
  },
  {
    causes: ['SW301', 'SW302', 'SW303', 'SW304', 'SW305'],
    effects: ['SW306'],
    because: 'kubelet starts nothing of a pod before its volumes are attached and mounted through their driver',
    shares: ['waiting'],
    withinMs: 30 * MINUTE,
    decidedBy: 'the events of the pod: they name the volume and the driver',
  },
  {
    causes: ghostCodes,
    effects: ['refused'],
    because: 'a name is reserved as long as its sandbox is there, dead or alive',
    shares: ['sandbox'],
    withinMs: 30 * MINUTE,
    decidedBy: 'the id of the holder in the words of the refusal',
  },
  {
    causes: ['SW303'],
    effects: ['SW401'],
    because: 'they are the same pods',
    shares: ['pod'],
    withinMs: 30 * MINUTE,
    decidedBy: 'their last words',
  },
  {
    causes: ['SW501', 'SW601'],
    effects: ['SW401'],
    because: 'kubelet kills these pods and makes them anew',
    shares: ['pod'],
    withinMs: 10 * MINUTE,
    decidedBy: 'whether their containers end by themselves or are killed',
  },
  {
    causes: ['SW102'],
    effects: ['SW401'],
    because:
      'kubelet takes the dead sandbox for the newest of its pod, kills the one that lives, and makes the pod anew',
    shares: ['pod'],
    withinMs: 10 * MINUTE,
    decidedBy: 'whether their containers end by themselves or are killed',
  },
  {
    causes: ['SW401'],
    effects: ['SW402'],
    because:
      'each start of a container makes and ends namespaces, for which the kernel asks for expedited grace periods',
    shares: ['task'],
    withinMs: 10 * MINUTE,
    decidedBy: 'end the crash loops: the stalls end with them, or they do not',
  },
  {
    causes: ['nfs-silent'],
    effects: ['SW402'],
    because: 'tasks that wait for an NFS server stand still for minutes',
    shares: ['hung'],
    withinMs: 10 * MINUTE,
    decidedBy: 'whether the hung tasks wait in rpc_ or nfs_ functions (their call traces)',
  },
  {
    causes: ['undervoltage'],
    effects: ['SW402'],
    because: 'a board with too little power throttles its processors',
    shares: [],
    withinMs: 10 * MINUTE,
    decidedBy: '`vcgencmd get_throttled`, and another power supply',
  },
  {
    causes: ['SW402'],
    effects: ['freeze'],
    because: 'processors that do not come around leave softirqs waiting, and the network stops answering',
    shares: [],
    withinMs: 2 * HOUR,
    decidedBy: 'whether the stalls came closer together before it',
  },
  {
    causes: ['freeze'],
    effects: ['SW201'],
    because: 'a node that does not answer is reset by hand or by its watchdog',
    shares: [],
    withinMs: 12 * HOUR,
    decidedBy: 'whether somebody reset it, or the power went',
  },
  {
    causes: ['panic'],
    effects: ['SW201'],
    because: 'a kernel that panics stands still or starts anew',
    shares: [],
    withinMs: HOUR,
    decidedBy: 'the record of the panic in pstore',
  },
  {
    causes: ['SW402'],
    effects: ['SW201'],
    because: 'a kernel that locks up writes nothing more',
    shares: [],
    withinMs: 10 * MINUTE,
    decidedBy: 'what the last lines before the end tell of',
  },
];

/** The causes of `effect` among `nodes`, the likeliest first: what shares an object, then what began last. */
export function causesOf(
  effect: CauseNode,
  nodes: readonly CauseNode[],
  rules: readonly CauseRule[] = causeRules,
): HeldCause[] {
  const held = nodes.flatMap((cause) => {
    if (cause.id === effect.id) return [];
    return rules.flatMap((rule) => hold(cause, effect, rule) ?? []);
  });
  return held.sort((a, b) => rank(a) - rank(b) || compare(a.lagNs, b.lagNs));
}

/** The shortest way from `effect` back to what `isStart` names, first cause first; by the causes that are given. */
export function pathTo<Node extends CauseNode>(
  effect: Node,
  causes: (of: Node) => readonly { readonly cause: Node }[],
  isStart: (node: Node) => boolean,
): Node[] | undefined {
  const seen = new Set([effect.id]);
  let paths: [Node, ...Node[]][] = [[effect]];
  while (paths.length > 0) {
    const next: [Node, ...Node[]][] = [];
    for (const path of paths) {
      for (const { cause } of causes(path[0])) {
        if (seen.has(cause.id)) continue;
        seen.add(cause.id);
        if (isStart(cause)) return [cause, ...path];
        next.push([cause, ...path]);
      }
    }
    paths = next;
  }
  return undefined;
}

function hold(cause: CauseNode, effect: CauseNode, rule: CauseRule): HeldCause | undefined {
  if (!rule.causes.includes(cause.code) || !rule.effects.includes(effect.code)) return undefined;
  const certain = sharedOf(cause.objects, effect.objects, rule);
  const shared = certain ?? sharedOf(about(cause), about(effect), rule);
  if (rule.shares.length > 0 && shared === undefined) return undefined;
  const lagNs = cause.startNs === null || effect.startNs === null ? null : effect.startNs - cause.startNs;
  // Without dates nothing orders the two but what they share.
  if (lagNs === null && shared === undefined) return undefined;
  if (lagNs !== null && lagNs < -SLACK_NS) return undefined;
  const overdue = cause.endNs !== null && effect.startNs !== null ? effect.startNs - cause.endNs : 0n;
  if (overdue > BigInt(rule.withinMs) * 1_000_000n) return undefined;
  const possible = shared !== undefined && certain === undefined;
  return {
    cause,
    rule,
    lagNs,
    ...(shared === undefined ? {} : { shared: shared.replace(':', ' ') }),
    ...(possible ? { possible } : {}),
  };
}

function about({ objects, maybe }: CauseNode): ReadonlySet<string> {
  return maybe === undefined ? objects : new Set([...objects, ...maybe]);
}

function sharedOf(a: ReadonlySet<string>, b: ReadonlySet<string>, { shares }: CauseRule): string | undefined {
  return [...b].find((each) => a.has(each) && shares.includes(each.slice(0, each.indexOf(':'))));
}

// What is seen first is not always what was first: kubelet tells of a failure at its next sync.
const SLACK_NS = 120n * 1_000_000_000n;

function rank({ shared, possible, lagNs }: HeldCause): number {
  return (possible ? 4 : 0) + (shared === undefined ? 2 : 0) + (lagNs === null ? 1 : 0);
}

function compare(a: bigint | null, b: bigint | null): number {
  if (a === null || b === null) return 0;
  return a < b ? -1 : a > b ? 1 : 0;
}
