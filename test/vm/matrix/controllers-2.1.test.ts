import { describeDrivers } from '../driver-scenarios.ts';
import { describeEmptySlices } from '../empty-slice-scenarios.ts';

describeEmptySlices('containerd-2.1');
describeDrivers('containerd-2.1');
