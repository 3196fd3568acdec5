import { describeHook } from '../hook-scenarios.ts';

describeHook('12: k3s over containerd 2.1', { image: 'containerd-2.1', layout: 'k3s', unguarded: true });
