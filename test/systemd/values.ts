import fc from 'fast-check';
import { type DBusType, type DBusValue, parseOneType, type Variant } from '../../src/systemd/dbus/types.ts';

/** Types of every shape; what systemd uses is among them. */
export const signatures = [
  ...['y', 'b', 'n', 'q', 'i', 'u', 'x', 't', 'd', 's', 'o', 'g', 'v'],
  ...[
    'ay',
    'as',
    'au',
    'ax',
    'av',
    'aas',
    'a{sv}',
    'a{us}',
    'a{sa{sv}}',
    'a{yv}',
    'a(sv)',
    'a(sa(sv))',
    'a(ssssssouso)',
  ],
  ...['(s)', '(yxyty)', '(sa(sv))', '((y)(q)(x))', 'a((yd)av)'],
];

// busctl's JSON has no dictionary whose keys are numbers.
const forJson = signatures.filter((each) => !/\{[^s]/.test(each));

export interface Typed {
  readonly signature: string;
  readonly type: DBusType;
  readonly value: DBusValue;
}

/** A value of any of the types. `forBusctl`: only what its arguments and its JSON can say exactly. */
export function typedValue({ forBusctl = false } = {}): fc.Arbitrary<Typed> {
  return fc.constantFrom(...(forBusctl ? forJson : signatures)).chain((signature) => {
    const type = parseOneType(signature);
    return valuesOf(type, forBusctl, 3).map((value) => ({ signature, type, value }));
  });
}

export function valuesOf(type: DBusType, forBusctl: boolean, depth: number): fc.Arbitrary<DBusValue> {
  switch (type.code) {
    case 'a':
      if (type.of.code === 'y') return fc.uint8Array({ maxLength: 12 });
      // JSON's object of a dictionary holds each key once.
      if (type.of.code === '{') {
        const pairs = fc.uniqueArray(valuesOf(type.of, forBusctl, depth - 1), {
          maxLength: 4,
          selector: (pair) => String((pair as readonly DBusValue[])[0]),
        });
        return pairs as fc.Arbitrary<DBusValue>;
      }
      return fc.array(valuesOf(type.of, forBusctl, depth - 1), { maxLength: 4 }) as fc.Arbitrary<DBusValue>;
    case '(':
    case '{':
      return fc.tuple(...type.parts.map((part) => valuesOf(part, forBusctl, depth - 1))) as fc.Arbitrary<DBusValue>;
    case 'v': {
      const all = forBusctl ? forJson : signatures;
      const inner = depth > 0 ? all : signatures.slice(0, 12);
      return fc
        .constantFrom(...inner)
        .chain((signature) =>
          valuesOf(parseOneType(signature), forBusctl, depth - 2).map((value) => ({ signature, value })),
        );
    }
    default:
      return basic(type.code, forBusctl);
  }
}

function basic(code: string, forBusctl: boolean): fc.Arbitrary<DBusValue> {
  switch (code) {
    case 'y':
      return fc.nat(255);
    case 'b':
      return fc.boolean();
    case 'n':
      return fc.integer({ min: -0x8000, max: 0x7fff });
    case 'q':
      return fc.nat(0xffff);
    case 'i':
      return fc.integer();
    case 'u':
    case 'h':
      return fc.nat(0xffff_ffff);
    // A number of JSON.parse is exact up to 2^53.
    case 'x':
      return forBusctl
        ? fc.bigInt({ min: -(2n ** 53n), max: 2n ** 53n })
        : fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
    case 't':
      return fc.bigInt({ min: 0n, max: forBusctl ? 2n ** 53n : 2n ** 64n - 1n });
    case 'd':
      return forBusctl ? fc.integer({ min: -4096, max: 4096 }).map((each) => each / 8) : fc.double({ noNaN: true });
    case 'o':
      return fc.constantFrom('/', '/a', '/org/freedesktop/systemd1/unit/a_2eslice');
    case 'g':
      return fc.constantFrom('', 's', ...signatures);
    default:
      // As an argument of a program a string has no NUL; a lone surrogate is in no string of D-Bus.
      return fc.string({ unit: 'grapheme', maxLength: 12 }).map((text) => text.replaceAll('\0', '').toWellFormed());
  }
}

/** The words that busctl wants for a value. */
export function argumentsOf(type: DBusType, value: DBusValue): string[] {
  switch (type.code) {
    case 'a': {
      const elements = [...(value as Iterable<DBusValue>)];
      return [String(elements.length), ...elements.flatMap((each) => argumentsOf(type.of, each))];
    }
    case '(':
    case '{':
      return type.parts.flatMap((part, index) =>
        argumentsOf(part, (value as readonly DBusValue[])[index] as DBusValue),
      );
    case 'v': {
      const { signature, value: inner } = value as Variant;
      return [signature, ...argumentsOf(parseOneType(signature), inner)];
    }
    default:
      return [String(value)];
  }
}

/** What busctl's JSON says of a value. */
export function jsonOf(type: DBusType, value: DBusValue): unknown {
  switch (type.code) {
    case 'a': {
      const { of } = type;
      const elements = [...(value as Iterable<DBusValue>)];
      if (of.code !== '{') return elements.map((each) => jsonOf(of, each));
      const [key, inner] = of.parts;
      if (key === undefined || inner === undefined) throw new Error('a dictionary has a key and a value');
      return Object.fromEntries(
        elements.map((pair) => {
          const [name, held] = pair as readonly [DBusValue, DBusValue];
          return [String(name), jsonOf(inner, held)];
        }),
      );
    }
    case '(':
    case '{':
      return type.parts.map((part, index) => jsonOf(part, (value as readonly DBusValue[])[index] as DBusValue));
    case 'v': {
      const { signature, value: inner } = value as Variant;
      return { type: signature, data: jsonOf(parseOneType(signature), inner) };
    }
    case 'x':
    case 't':
      return Number(value);
    default:
      return value;
  }
}
