/** Scenario 12: k3s owns containerd, so the healing runs on a temporary one before it. */
import { describeHook } from '../hook-scenarios.ts';

describeHook('12: k3s over containerd 1.7', { image: 'containerd-1.7', layout: 'k3s', unguarded: true });
