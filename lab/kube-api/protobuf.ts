import { Refusal } from './objects.ts';

/**
 * The pods that kubectl (from 1.32 on) writes as protobuf, as JSON: the fields of a debug pod and no others.
 * Numbers of fields: kubernetes api core/v1/generated.proto; the envelope: apimachinery runtime/generated.proto.
 */
export function podOfProtobuf(body: Buffer): object {
  if (body.subarray(0, 4).toString('latin1') !== 'k8s\0')
    throw new Refusal(400, 'BadRequest', 'no protobuf of Kubernetes');
  const envelope = fieldsOf(body.subarray(4));
  const type = fieldsOf(envelope.get(1)?.[0] as Buffer);
  const kind = String(type.get(2)?.[0]);
  if (kind !== 'Pod') throw new Refusal(415, 'UnsupportedMediaType', `this server takes no protobuf of ${kind}`);
  return { apiVersion: 'v1', kind, ...read(envelope.get(2)?.[0] as Buffer, pod) };
}

type Shape = Readonly<Record<number, readonly [name: string, type: Type]>>;
type Type = 'text' | 'number' | 'flag' | 'texts' | 'map' | { readonly one: Shape } | { readonly many: Shape };

const hostPath: Shape = { 1: ['path', 'text'], 2: ['type', 'text'] };
const container: Shape = {
  1: ['name', 'text'],
  2: ['image', 'text'],
  3: ['command', 'texts'],
  4: ['args', 'texts'],
  9: ['volumeMounts', { many: { 1: ['name', 'text'], 2: ['readOnly', 'flag'], 3: ['mountPath', 'text'] } }],
  14: ['imagePullPolicy', 'text'],
  15: ['securityContext', { one: { 2: ['privileged', 'flag'] } }],
  16: ['stdin', 'flag'],
  18: ['tty', 'flag'],
};
const spec: Shape = {
  1: ['volumes', { many: { 1: ['name', 'text'], 2: ['source', { one: { 1: ['hostPath', { one: hostPath }] } }] } }],
  2: ['containers', { many: container }],
  3: ['restartPolicy', 'text'],
  5: ['activeDeadlineSeconds', 'number'],
  10: ['nodeName', 'text'],
  11: ['hostNetwork', 'flag'],
  12: ['hostPID', 'flag'],
  13: ['hostIPC', 'flag'],
  22: ['tolerations', { many: { 1: ['key', 'text'], 2: ['operator', 'text'], 4: ['effect', 'text'] } }],
};
const metadata: Shape = {
  1: ['name', 'text'],
  2: ['generateName', 'text'],
  3: ['namespace', 'text'],
  11: ['labels', 'map'],
  12: ['annotations', 'map'],
};
const pod: Shape = { 1: ['metadata', { one: metadata }], 2: ['spec', { one: spec }] };

function read(bytes: Buffer, shape: Shape): Record<string, unknown> {
  const object: Record<string, unknown> = {};
  for (const [number, values] of fieldsOf(bytes)) {
    const [name, type] = shape[number] ?? [];
    if (name === undefined || type === undefined) continue;
    const value = valueOfType(type, values);
    // A volume's source is inlined in JSON.
    if (name === 'source') Object.assign(object, value);
    // proto2 of Kubernetes writes empty texts and false too; JSON leaves them out.
    else if (value !== '' && value !== false) object[name] = value;
  }
  return object;
}

function valueOfType(type: Type, values: readonly (Buffer | number)[]): unknown {
  const last = values.at(-1) ?? 0;
  if (type === 'text') return String(last);
  if (type === 'number') return last;
  if (type === 'flag') return last === 1;
  if (type === 'texts') return values.map(String);
  if (type === 'map') {
    const pairs = values.map((each) => fieldsOf(each as Buffer));
    return Object.fromEntries(pairs.map((pair) => [String(pair.get(1)?.[0]), String(pair.get(2)?.[0] ?? '')]));
  }
  return 'one' in type ? read(last as Buffer, type.one) : values.map((each) => read(each as Buffer, type.many));
}

/** Fields by number: varints as numbers, what has a length as bytes. */
function fieldsOf(bytes: Buffer): Map<number, (Buffer | number)[]> {
  const fields = new Map<number, (Buffer | number)[]>();
  let at = 0;
  const varint = () => {
    let [value, factor] = [0, 1];
    for (;;) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 0x7f) * factor;
      factor *= 128;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const wire = tag & 7;
    if (wire !== 0 && wire !== 2) throw new Refusal(400, 'BadRequest', `wire type ${wire} is not expected`);
    const value = varint();
    const taken = wire === 0 ? value : bytes.subarray(at, at + value);
    if (wire === 2) at += value;
    const number = tag >>> 3;
    fields.set(number, [...(fields.get(number) ?? []), taken]);
  }
  return fields;
}
