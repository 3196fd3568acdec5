import type { MessageInitShape } from '@bufbuild/protobuf';
import { kubelet } from './convert.ts';
import { type ContainerConfigSchema, NamespaceMode, type PodSandboxConfigSchema } from './gen/runtime/v1/runtime_pb.js';
import type { ContainerSpec, SandboxSpec } from './types.ts';

function podLabels(of: SandboxSpec): Record<string, string> {
  return { [kubelet.podName]: of.name, [kubelet.podNamespace]: of.namespace, [kubelet.podUid]: of.uid };
}

/** As kubelet writes it (kuberuntime_sandbox.go generatePodSandboxConfig), but no log directory: nothing is logged. */
export function sandboxConfig(spec: SandboxSpec): MessageInitShape<typeof PodSandboxConfigSchema> {
  const { name, namespace, uid, attempt } = spec;
  return {
    metadata: { name, namespace, uid, attempt },
    hostname: spec.hostNetwork ? '' : name.slice(0, 63),
    labels: podLabels(spec),
    annotations: { ...spec.annotations },
    linux: {
      cgroupParent: spec.cgroupParent ?? '',
      securityContext: { namespaceOptions: namespaces(spec) },
    },
  };
}

/** As kubelet writes it (kuberuntime_container.go generateContainerConfig). */
export function containerConfig(spec: ContainerSpec): MessageInitShape<typeof ContainerConfigSchema> {
  return {
    metadata: { name: spec.name, attempt: spec.attempt },
    image: { image: spec.image },
    command: [...spec.command],
    labels: { ...podLabels(spec.sandbox), [kubelet.containerName]: spec.name },
    annotations: { [kubelet.restartCount]: String(spec.attempt) },
    linux: { securityContext: { namespaceOptions: namespaces(spec.sandbox) } },
  };
}

function namespaces(spec: SandboxSpec) {
  return {
    network: spec.hostNetwork ? NamespaceMode.NODE : NamespaceMode.POD,
    pid: NamespaceMode.CONTAINER,
    ipc: NamespaceMode.POD,
  };
}
