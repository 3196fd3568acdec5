import { imageArchive } from '../tools/oci-image.ts';
import { pauseImage, workloadImage } from './flavours.ts';

/**
 * An OCI archive of one static busybox, made by hand so that no registry is needed: `/bin/busybox` with
 * `/bin/sleep` and `/bin/sh` beside it, under two names (sandbox and workload). Deterministic.
 */
export function pauseImageArchive(busybox: Uint8Array, goArch: string): Uint8Array {
  return imageArchive({
    architecture: goArch,
    entries: [
      { name: 'bin/', type: '5' },
      { name: 'etc/', type: '5' },
      { name: 'proc/', type: '5' },
      { name: 'sys/', type: '5' },
      { name: 'dev/', type: '5' },
      { name: 'tmp/', type: '5' },
      { name: 'bin/busybox', type: '0', data: busybox, mode: 0o755 },
      { name: 'bin/sleep', type: '2', link: 'busybox' },
      { name: 'bin/sh', type: '2', link: 'busybox' },
    ],
    config: { Cmd: ['/bin/sleep', '1000000'], Env: ['PATH=/bin'] },
    names: [pauseImage, workloadImage],
  });
}
