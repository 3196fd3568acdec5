import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commandForEver, commandThatExits, lifetimeOf } from '../../src/embedded/lifetime.ts';
import { Registrar } from '../../src/embedded/registrar.ts';

test('a name is reserved for one key and a key for one name, in containerd’s words', () => {
  const registrar = new Registrar();
  registrar.reserve('name', 'key');
  registrar.reserve('name', 'key');
  assert.throws(() => registrar.reserve('name', 'other'), { message: 'name "name" is reserved for "key"' });
  assert.throws(() => registrar.reserve('other', 'key'), { message: 'key "key" is reserved for "name"' });
});

test('what is released can be reserved by another', () => {
  const registrar = new Registrar();
  registrar.reserve('name', 'key');
  registrar.releaseByName('name');
  registrar.reserve('name', 'other');
  registrar.releaseByKey('other');
  registrar.reserve('name', 'key');
  registrar.releaseByKey('nobody');
  registrar.releaseByName('nothing');
  assert.throws(() => registrar.reserve('name', 'other'), /is reserved for "key"/);
});

test('a command lives as long as a shell would let it', () => {
  assert.deepEqual(lifetimeOf(commandThatExits(1_500, 3)), { afterMs: 1_500, code: 3 });
  assert.deepEqual(lifetimeOf(commandForEver), { afterMs: 1_000_000_000, code: 0 });
  assert.deepEqual(lifetimeOf(['/bin/sh', '-c', 'exit 7']), { afterMs: 0, code: 7 });
  assert.equal(lifetimeOf(['nginx', '-g', 'daemon off;']), undefined);
});
