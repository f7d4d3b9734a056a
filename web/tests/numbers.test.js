// Numbers are those of the program: src/web/numbers.rs tests the same ones.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { distance, fingerprint, hash, hyper, initialValues, roundingError, uniform } from '../numbers.js';
import { halfToFloat, parseTensors } from '../tensors.js';

const crc = numbers => new Uint32Array(Float32Array.from(numbers).buffer).reduce((sum, word) => hash((sum ^ word) >>> 0), 0);

test('numbers are those of the program', () => {
  assert.deepEqual([0, 1, 0xffffffff].map(hash), [0, 1753845952, 1734902346]);
  const numbers = uniform(100, -0.3, 1.1, 7);
  assert.equal(crc(numbers), 952940487);
  assert.equal(crc(initialValues({ normal: 0.001 }, 100, 'conv1.weight', 3)), 323738764);
  assert.equal(crc(fingerprint(numbers)), 145286980);
});

test('an error is measured in units of its magnitude, and a NaN is the largest', () => {
  const unit = 2 ** -24;
  assert.deepEqual(roundingError([1, 2 + 8 * unit, 0], [1, 2, 0], [1, 4, 1]), { error: 2, at: 1 });
  assert.deepEqual(roundingError([1, 2 + 8 * unit, 0], [1, 2, 0], [1, 4, 16], true), { error: 0.5, at: 1 });
  assert.ok(Number.isNaN(roundingError([1, NaN, 9], [1, 2, 0], [1, 1, 1]).error));
  assert.equal(roundingError([1], [0], [0]).error, Infinity);
});

test('fingerprints tell how far tensors are apart', () => {
  const one = uniform(5000, -1, 1, 1), noise = uniform(5000, -1, 1, 2);
  for (const step of [0, 1e-5, 1e-2]) {
    const guess = distance(fingerprint(one.map((x, i) => x + step * noise[i])), fingerprint(one));
    assert.ok(step === 0 ? guess === 0 : guess > step / 2 && guess < 2 * step, `${guess} for ${step}`);
  }
  assert.ok(Number.isNaN(distance(fingerprint([NaN, 1]), fingerprint([1, 1]))));
});

test('the first step of AdamW goes by the whole rate', () => {
  const [decay, m, beta2, v, root, , size] = hyper({ beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.1 }, 1, 0.5);
  const near = (a, b) => assert.ok(Math.abs(a - b) < 1e-6, `${a} ${b}`);
  near(decay, 0.95);
  near(size * m / (Math.sqrt(v) / root), 0.5);
  near(beta2 + v, 1);
});

test('halves and broken files of tensors', () => {
  assert.deepEqual([0x3c00, 0xc000, 0x0001, 0x7c00].map(halfToFloat), [1, -2, 2 ** -24, Infinity]);
  assert.throws(() => parseTensors(new ArrayBuffer(4)), /not a whole safetensors file/);
  assert.throws(() => parseTensors(new Uint8Array([9, 0, 0, 0, 0, 0, 0, 0, 123]).buffer), /not a whole safetensors file/);
});
