/** The boot hook in a virtual machine, as far as `make test` has time; `make lab` runs the rest (matrix/). */
import { describeHook } from './hook-scenarios.ts';

describeHook('kubelet over containerd 1.7', { image: 'containerd-1.7' });
