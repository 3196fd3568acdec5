import { namespaceOf } from '../../model/sandbox.ts';

/**
 * Which pods belong to which CSI driver, by their names alone: the journal of the past knows no mounts and no sockets.
 * The names of drivers go by their projects' domain (`ebs.csi.aws.com`, `driver.longhorn.io`, CSI spec
 * GetPluginInfo) or by its reverse (`org.democratic-csi.nfs`); their charts name pods `ebs-csi-node-…`,
 * `csi-nfs-node-…`, `csi-rbdplugin-…`, or after the namespace alone (`longhorn-system/csi-attacher-…`).
 */

/** Words that say nothing of whose something is. */
const generic = new Set('csi driver plugin node storage kubernetes k8s sigs x system controller agent'.split(' '));

/** What many drivers offer: of two of them only the vendor tells which one is meant. */
const common = new Set('nfs iscsi smb cifs nvme nvmeof local lvm zfs disk file block fs volume'.split(' '));

const topLevel = new Set('io com org net cloud dev sh co de eu'.split(' '));

/** Namespaces in which the drivers of several vendors live beside each other. */
const sharedNamespaces = new Set(['kube-system', 'default']);

/** What was found out of the drivers and node plugins of one boot. */
export interface PluginTies {
  /** The refused node plugins that are this driver's by their names. */
  readonly own: readonly string[];
  /** Those that are no known driver's by their names, and may be this one's; only where `own` is empty. */
  readonly perhaps: readonly string[];
  /** Namespaces in which sidecars without a name of their own are this driver's; and in which they may be. */
  readonly namespaces: readonly string[];
  readonly perhapsNamespaces: readonly string[];
}

/** Ties the node plugins among `pods` to `driver`, one of `drivers`. */
export function tiePlugins(driver: string, drivers: readonly string[], pods: readonly string[]): PluginTies {
  const plugins = pods.filter(isNodePlugin);
  const own = plugins.filter((each) => belongsTo(each, driver));
  const untied = plugins.filter((each) => !drivers.some((one) => belongsTo(each, one)));
  const isDedicated = (namespace: string) =>
    !sharedNamespaces.has(namespace) && plugins.every((each) => namespaceOf(each) !== namespace || own.includes(each));
  const namespaces = [...new Set(own.map(namespaceOf))];
  const perhaps = own.length > 0 ? [] : untied;
  return {
    own,
    perhaps,
    namespaces: namespaces.filter(isDedicated),
    perhapsNamespaces: [...namespaces.filter((each) => !isDedicated(each)), ...new Set(perhaps.map(namespaceOf))],
  };
}

/** By its name: charts call it …-csi-plugin, csi-…-node, ebs-csi-node. A controller has a socket of its own. */
function isNodePlugin(pod: string): boolean {
  const name = nameOf(pod);
  return /csi.*(?:plugin|node)|(?:plugin|node).*csi/.test(name) && !/provisioner|controller|attacher/.test(name);
}

/**
 * Whether a pod (`namespace/name`) is of a driver: its name has a word that is the driver's own, or namespace and name
 * together have all of them. A name the other way around begins with the vendor, so all its words must be there.
 */
export function belongsTo(pod: string, driver: string): boolean {
  const name = nameOf(pod);
  // ceph-csi-operator names its pods after the whole name of the driver.
  if (/[^.]\.[^.]/.test(name)) return name.includes(driver);
  const { own, vendor, isReverse } = wordsOf(driver);
  const [inName, inBoth] = [partsOf(name), [...partsOf(namespaceOf(pod)), ...partsOf(name)]];
  const has = (parts: readonly string[], word: string) => parts.some((each) => isWord(each, word));
  if (own.length === 0) return false;
  if (own.every((each) => has(inBoth, each))) {
    return isReverse || !own.every((each) => common.has(each)) || vendor.every((each) => has(inBoth, each));
  }
  const found = own.filter((each) => has(inName, each));
  if (isReverse || found.length === 0) return false;
  return !found.every((each) => common.has(each)) || vendor.every((each) => has(inBoth, each));
}

/** The words of a driver's name, or of its folder's where that is all that is known: its own ones and its vendor's. */
function wordsOf(driver: string): { own: string[]; vendor: string[]; isReverse: boolean } {
  const labels = driver.split('.');
  const isReverse = topLevel.has(labels[0] ?? '');
  if (isReverse) return { own: labels.slice(1).flatMap(partsOf), vendor: [], isReverse };
  if (labels.length < 3 || !topLevel.has(labels.at(-1) ?? '')) {
    const all = labels.filter((each) => !topLevel.has(each)).flatMap(partsOf);
    return { own: all, vendor: [], isReverse };
  }
  const vendor = partsOf(labels.at(-2) ?? '');
  const own = labels.slice(0, -2).flatMap(partsOf);
  const without = own.filter((each) => !vendor.includes(each));
  return without.length === 0 ? { own: vendor, vendor: [], isReverse } : { own: without, vendor, isReverse };
}

/** The words of a name that say something: `csi-nfsplugin-abcde` gives `nfs` and `abcde`. */
function partsOf(name: string): string[] {
  return name
    .split(/[^a-z0-9]+/)
    .map((each) => each.replace(/^csi|(?:csi|nodeplugin|plugin|driver)$/g, ''))
    .filter((each) => each !== '' && !generic.has(each));
}

/** `azuredisk` is of `azure` and of `disk`; a short word must be the whole part. */
function isWord(part: string, word: string): boolean {
  return part === word || (word.length > 3 && (part.startsWith(word) || part.endsWith(word)));
}

function nameOf(pod: string): string {
  return pod.slice(pod.indexOf('/') + 1);
}
