import { randomBytes } from 'node:crypto';
import { limits } from '../../model/limits.ts';

export interface DebugPod {
  readonly node: string;
  readonly namespace: string;
  readonly image: string;
  /** Whether the image may be pulled, or has to be on the node. */
  readonly pull: 'IfNotPresent' | 'Never';
  /** What is run, in the pod: the node's root is at /host. */
  readonly command: readonly string[];
  /** Whether something is written to its stdin, once. */
  readonly stdin: boolean;
  /** Of the node: which dynamic loader its programs ask for. */
  readonly architecture: string;
  readonly env: Readonly<Record<string, string>>;
}

/** The one container's name, as `kubectl debug` calls it. */
export const containerName = 'debugger';

/**
 * The pod that runs a program of a node on that node: as `kubectl debug node/NAME --profile=sysadmin` makes it (host
 * PID, network and IPC, privileged, / at /host, any taint), and with the node's own /usr, /bin, /sbin and libraries in
 * the places of the image's, so that any image will do, be it the pause image. It ends by itself, and kubelet gives it
 * time to end in good order. Source: kubectl pkg/cmd/debug/debug.go, profiles.go.
 */
export function debugPod(of: DebugPod) {
  const folders = ['/usr', '/bin', '/sbin', '/lib', ...(of.architecture === 'amd64' ? ['/lib64'] : [])];
  const volumes = folders.map((path) => ({ name: `node${path.replace('/', '-')}`, hostPath: { path } }));
  const mounts = folders.map((path) => ({ name: `node${path.replace('/', '-')}`, mountPath: path, readOnly: true }));
  const suffix = randomBytes(3).toString('hex').slice(0, 5);
  const name = `sandwarden-${of.node.replaceAll('.', '-').slice(0, 40).replace(/-+$/, '')}-${suffix}`;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { 'app.kubernetes.io/managed-by': 'sandwarden' } },
    spec: {
      nodeName: of.node,
      restartPolicy: 'Never',
      hostPID: true,
      hostNetwork: true,
      hostIPC: true,
      tolerations: [{ operator: 'Exists' }],
      activeDeadlineSeconds: limits.nodePodMs / 1_000,
      terminationGracePeriodSeconds: limits.nodePodGraceMs / 1_000,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      containers: [
        {
          name: containerName,
          image: of.image,
          imagePullPolicy: of.pull,
          command: literal(of.command),
          ...(of.stdin ? { stdin: true, stdinOnce: true } : {}),
          env: Object.entries(of.env).map(([key, value]) => ({ name: key, value })),
          securityContext: { privileged: true },
          volumeMounts: [{ name: 'host-root', mountPath: '/host' }, ...mounts],
        },
      ],
      volumes: [{ name: 'host-root', hostPath: { path: '/' } }, ...volumes],
    },
  };
}

/** Kubernetes' own tools replace `$(NAME)` in commands; what a person typed is meant as it is. */
function literal(argv: readonly string[]): string[] {
  return argv.map((each) => each.replaceAll('$(', '$$('));
}
