import { describeHook } from '../hook-scenarios.ts';

describeHook('kubelet over containerd 2.1', { image: 'containerd-2.1', unguarded: true });
