import { describeDrivers } from '../driver-scenarios.ts';
import { describeEmptySlices } from '../empty-slice-scenarios.ts';

describeEmptySlices('containerd-1.7');
describeDrivers('containerd-1.7');
