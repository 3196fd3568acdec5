// Goal: whatever a call throws becomes a SandwardenError that says what to do; nothing of CRI's answers throws untyped.
// Method: injected errno (root cannot be refused by a file mode), random error texts, codes and messages.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import fc from 'fast-check';
import { detailOfInfo, toContainer, toContainerStatus, toSandbox, toSandboxDetail } from '../../src/cri/convert.ts';
import { translateCriError } from '../../src/cri/errors.ts';
import {
  ContainerSchema,
  ContainerStatusResponseSchema,
  PodSandboxSchema,
  PodSandboxStatusResponseSchema,
} from '../../src/cri/gen/runtime/v1/runtime_pb.js';
import { parseObject } from '../../src/cri/info.ts';
import { type ErrorCode, SandwardenError } from '../../src/model/errors.ts';
import { runs } from '../helpers/fuzz.ts';

const context = { endpoint: 'unix:///run/x.sock', call: 'Version', timeoutMs: 10_000 };

describe('an errno', () => {
  const cases: Record<string, ErrorCode> = {
    ENOENT: 'ERR_SOCKET_MISSING',
    ENOTDIR: 'ERR_SOCKET_MISSING',
    EACCES: 'ERR_SOCKET_FORBIDDEN',
    EPERM: 'ERR_SOCKET_FORBIDDEN',
    ECONNREFUSED: 'ERR_SOCKET_REFUSED',
    EAGAIN: 'ERR_SOCKET_HUNG',
    EPROTOTYPE: 'ERR_SOCKET_NOT_CRI',
  };
  for (const [code, expected] of Object.entries(cases)) {
    it(`${code} is ${expected}, however deep it lies`, () => {
      const cause = Object.assign(new Error(`connect ${code}`), { code, syscall: 'connect' });
      const wrapped = new ConnectError('connect', Code.Internal, undefined, undefined, cause);
      for (const error of [cause, wrapped]) {
        const translated = translateCriError(error, context);
        assert.equal(translated.code, expected);
        assert.equal(translated.cause, error);
        assert.match(translated.message, /\/run\/x\.sock/);
      }
    });
  }

  it('that is forbidden says to be root', () => {
    const cause = Object.assign(new Error('connect EACCES'), { code: 'EACCES' });
    assert.match(translateCriError(cause, context).hint, /root/);
    assert.equal(translateCriError(cause, context).exitCode, 77);
  });
});

describe('any error', () => {
  it('becomes one of ours, on one line without control characters', () => {
    const words = fc.string({ unit: 'binary', maxLength: 200 });
    const thrown = fc.oneof(
      words.map((text) => new Error(text)),
      fc.tuple(words, fc.integer({ min: 1, max: 16 }), fc.boolean()).map(([text, code, wire]) => {
        return Object.assign(new ConnectError(text, code), { isWireError: wire });
      }),
      fc.anything(),
    );
    fc.assert(
      fc.property(thrown, (error) => {
        const translated = translateCriError(error, context);
        assert.ok(translated instanceof SandwardenError);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
        assert.doesNotMatch(translated.message, /[\u0000-\u001f\u007f-\u009f]/);
      }),
      runs(1_000),
    );
  });

  it('in a circle of causes ends', () => {
    const error: Error & { cause?: unknown } = new Error('a');
    error.cause = error;
    assert.equal(translateCriError(error, context).code, 'ERR_CRI_FAILED');
  });
});

describe('answers of a runtime that breaks CRI', () => {
  const map = fc.dictionary(fc.string({ maxLength: 20 }), fc.string({ maxLength: 40 }), { maxKeys: 4 });
  const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
  const id = fc.string({ maxLength: 10 });
  const metadata = fc.option(fc.record({ name: id, uid: id, namespace: id, attempt: fc.nat() }), { nil: undefined });
  const state = fc.integer({ min: -5, max: 9 }) as fc.Arbitrary<0>;

  it('convert or fail with a typed error', () => {
    const message = fc.record({ id, metadata, state, createdAt: int64, labels: map, annotations: map });
    fc.assert(
      fc.property(message, ({ metadata, ...rest }) => {
        const given = { ...rest, ...(metadata ? { metadata } : {}) };
        typed(() => toSandbox(create(PodSandboxSchema, given)));
        typed(() => toContainer(create(ContainerSchema, given)));
        typed(() => toContainerStatus(create(ContainerStatusResponseSchema, { status: given, info: rest.labels })));
      }),
      runs(500),
    );
  });

  it('with any JSON in their info give a detail without a field of a wrong type', () => {
    const keys = fc.constantFrom(
      'pid',
      'processStatus',
      'netNamespaceClosed',
      'runtimeSpec',
      'runtimeOptions',
      'linux',
      'cgroupsPath',
    );
    const json = fc.oneof(
      fc.json(),
      fc.dictionary(keys, fc.jsonValue()).map((value) => JSON.stringify(value)),
      fc.string(),
    );
    fc.assert(
      fc.property(json, (info) => {
        const detail = toSandboxDetail(create(PodSandboxStatusResponseSchema, { info: { info } }));
        assert.deepEqual(detail, detailOfInfo(parseObject(info)));
        assert.ok(detail.pid === undefined || (Number.isSafeInteger(detail.pid) && detail.pid >= 0));
        assert.ok(['undefined', 'string'].includes(typeof detail.processStatus));
        assert.ok(['undefined', 'string'].includes(typeof detail.cgroupsPath));
        assert.ok(['undefined', 'boolean'].includes(typeof detail.netNamespaceClosed));
      }),
      runs(1_000),
    );
  });
});

describe('the verbose JSON of containerd', () => {
  it('gives pid, state, namespace and cgroup; options without the driver are cgroupfs', () => {
    const info = {
      pid: 0,
      processStatus: 'deleted',
      netNamespaceClosed: true,
      runtimeSpec: { linux: { cgroupsPath: 'a.slice:cri-containerd:x' } },
      runtimeOptions: {},
    };
    assert.deepEqual(detailOfInfo(info), {
      pid: 0,
      processStatus: 'deleted',
      netNamespaceClosed: true,
      cgroupsPath: 'a.slice:cri-containerd:x',
      systemdCgroup: false,
    });
  });
});

function typed(convert: () => unknown): void {
  try {
    convert();
  } catch (error) {
    assert.ok(error instanceof SandwardenError, String(error));
  }
}
