import { X509Certificate } from 'node:crypto';
import type { KubeAccess } from '../../kube/access.ts';
import { SandwardenError } from '../../model/errors.ts';
import { safeText } from '../../model/safe-text.ts';

/** The name of this node in its cluster, and who says so. */
export interface NodeName {
  readonly name: string;
  /** `hostname` is a guess: kubelet's `--hostname-override` and a pod's own hostname make it wrong. */
  readonly from: 'flag' | 'certificate' | 'hostname';
}

/**
 * The node's name: as the person says, else that of the node's own certificate (`system:node:NAME`, the name that
 * the API's node authorizer goes by), else the host's name in lower case as kubelet takes it (nodeutil.GetHostname).
 * Throws ERR_USAGE where that is no name of a node.
 */
export function nodeNameOf(access: Pick<KubeAccess, 'clientCertificate'>, hostname: string, flag?: string): NodeName {
  if (flag !== undefined) return { name: checked(flag, '--node-name'), from: 'flag' };
  const certified = certifiedName(access.clientCertificate);
  if (certified !== undefined && isNodeName(certified)) return { name: certified, from: 'certificate' };
  return { name: checked(hostname.trim().toLowerCase(), 'the host name'), from: 'hostname' };
}

function certifiedName(certificate: string | undefined): string | undefined {
  if (certificate === undefined) return undefined;
  const commonName: unknown = new X509Certificate(certificate).toLegacyObject().subject?.CN;
  return typeof commonName === 'string' ? /^system:node:(.+)$/.exec(commonName)?.[1] : undefined;
}

function checked(name: string, of: string): string {
  if (isNodeName(name)) return name;
  throw new SandwardenError('ERR_USAGE', `${of} '${safeText(name, 300)}' is no name of a node`, {
    hint: 'Say what the node is called in the cluster with --node-name, as `kubectl get nodes` lists it.',
  });
}

/** A DNS subdomain (RFC 1123), which names of nodes are; nothing of it means anything in a field selector. */
function isNodeName(name: string): boolean {
  return name.length <= 253 && /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/.test(name);
}
