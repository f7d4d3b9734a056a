// Numbers are those of the program: src/web/numbers.rs tests the same ones.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { distance, fingerprint, hash, hyper, initialValues, roundingError, uniform } from '../numbers.js';
import { cropOf } from '../crop.js';
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

test('crops are those of the program', () => {
  const cases = [
    [[300, 200], [40, 30, 100, 120], [128, 128]],
    [[300, 200], [10.5, 20.25, 33.3, 150], [256, 192]],
    [[97, 61], [-20, -10, 90, 100], [96, 96]],
    [[640, 480], [500, 300, 200, 300], [256, 192]],
    [[50, 50], [0, 0, 50, 50], [256, 256]],
  ];
  const sums = cases.map(([[width, height], [x, y, w, h], input]) => {
    const crop = cropOf({ x, y, width: w, height: h }, input, input.map(side => side / 4), { width, height });
    const points = [[0, 0], [7.25, 3.5]].flatMap(point => crop.inPicture(point));
    const words = [crop.window.width, crop.window.height, ...crop.lattice, ...new Int32Array(Float32Array.from(points).buffer)];
    return words.reduce((sum, word) => hash((sum ^ word) >>> 0), 0);
  });
  assert.deepEqual(sums, [4076070412, 1065356055, 2922808935, 4177978394, 3967547919]);
});

test('halves and broken files of tensors', () => {
  assert.deepEqual([0x3c00, 0xc000, 0x0001, 0x7c00].map(halfToFloat), [1, -2, 2 ** -24, Infinity]);
  assert.throws(() => parseTensors(new ArrayBuffer(4)), /not a whole safetensors file/);
  assert.throws(() => parseTensors(new Uint8Array([9, 0, 0, 0, 0, 0, 0, 0, 123]).buffer), /not a whole safetensors file/);
});
