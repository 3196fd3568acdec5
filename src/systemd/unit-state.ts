import type { UnitState } from './bus.ts';
import type { DBusValue, Variant } from './dbus/types.ts';

/**
 * What GetAll answered for each interface of a unit, as far as it is used here. A property that this release of
 * systemd does not have counts as empty. Source: org.freedesktop.systemd1(5).
 */
export function unitStateOf(answers: readonly (DBusValue | undefined)[]): UnitState {
  const given = new Map<string, DBusValue>();
  for (const answer of answers) {
    if (!Array.isArray(answer)) continue;
    for (const [name, variant] of answer as readonly (readonly [string, Variant])[]) given.set(name, variant.value);
  }
  const text = (name: string) => textOf(given.get(name));
  const names = (name: string) => namesOf(given.get(name));
  const memory = given.get('MemoryCurrent');
  const delegate = given.get('Delegate');
  return {
    id: text('Id'),
    description: text('Description'),
    loadState: text('LoadState'),
    activeState: text('ActiveState'),
    subState: text('SubState'),
    transient: given.get('Transient') === true,
    fragmentPath: text('FragmentPath'),
    after: names('After'),
    before: names('Before'),
    activeSinceUs: microseconds(given.get('ActiveEnterTimestampMonotonic')),
    inactiveSinceUs: microseconds(given.get('InactiveEnterTimestampMonotonic')),
    controlGroup: text('ControlGroup'),
    slice: text('Slice'),
    delegate: typeof delegate === 'boolean' ? delegate : undefined,
    delegateControllers: names('DelegateControllers'),
    allowedCpus: cpusOf(given.get('AllowedCPUs')),
    memoryBytes: typeof memory === 'bigint' && memory !== NOT_COUNTED ? memory : undefined,
  };
}

/** systemd's word for "not accounted": UINT64_MAX. */
export const NOT_COUNTED = 0xffff_ffff_ffff_ffffn;

function textOf(value: DBusValue | undefined): string {
  return typeof value === 'string' ? value : '';
}

function namesOf(value: DBusValue | undefined): string[] {
  return Array.isArray(value) ? (value as readonly DBusValue[]).filter((each) => typeof each === 'string') : [];
}

function microseconds(value: DBusValue | undefined): bigint {
  return typeof value === 'bigint' ? value : 0n;
}

/** A mask, the lowest bit of the first byte for CPU 0 (systemd src/shared/cpu-set-util.c cpu_set_to_dbus). */
function cpusOf(mask: DBusValue | undefined): number[] {
  if (!(mask instanceof Uint8Array)) return [];
  return [...mask].flatMap((byte, index) => bits.filter((bit) => (byte >> bit) & 1).map((bit) => index * 8 + bit));
}

const bits = [0, 1, 2, 3, 4, 5, 6, 7];
