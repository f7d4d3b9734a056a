// @ts-check
// Numbers that the program and the pages must compute alike: src/web/numbers.rs has the same functions.

/** Most that an element may be off without a count: the smallest normal float32. Drivers may flush those below to zero. */
const SMALLEST = 2 ** -126;
/** Projections of a fingerprint. */
export const PROJECTIONS = 16;

/** A hash of 32 bits whose bits all depend on all bits of `x` (lowbias32 of Wellons' search). @param {number} x */
export function hash(x) {
  x = Math.imul(x ^ x >>> 16, 0x7feb352d);
  x = Math.imul(x ^ x >>> 15, 0x846ca68b);
  return (x ^ x >>> 16) >>> 0;
}

/**
 * `elements` numbers uniform between `low` and `high`, the same for the same seed as the program's, to the bit.
 * @param {number} elements @param {number} low @param {number} high @param {number} seed
 */
export function uniform(elements, low, high, seed) {
  const numbers = new Float32Array(elements), start = hash(seed >>> 0), least = Math.fround(low);
  const width = Math.fround(Math.fround(high) - least);
  for (let i = 0; i < elements; i++) {
    const unit = (hash(start + i | 0) >>> 8) * 2 ** -24;                    // exact in float32
    numbers[i] = least + Math.fround(width * unit);                         // rounded once more when stored
  }
  return numbers;
}

/**
 * Initial values of tensor `name`: they depend on seed and name alone. A normal distribution is drawn as the sum of twelve
 * uniform numbers (Irwin and Hall), which rounds the same everywhere.
 * @param {{constant?: number, normal?: number, uniform?: number}} initial @param {number} elements @param {string} name
 * @param {number} seed
 */
export function initialValues(initial, elements, name, seed) {
  if (initial.constant !== undefined) return new Float32Array(elements).fill(initial.constant);
  const stream = hash(fnv1a(name) ^ hash(seed));
  if (initial.uniform !== undefined) return uniform(elements, -initial.uniform, initial.uniform, stream);
  const deviation = Math.fround(initial.normal ?? 0), numbers = new Float32Array(elements);
  for (let i = 0; i < elements; i++) {
    let sum = 0;                                                            // of multiples of 2^-24: exact
    for (let k = 0; k < 12; k++) sum += (hash(stream + 12 * i + k | 0) >>> 8) * 2 ** -24;
    numbers[i] = deviation * Math.fround(sum - 6);
  }
  return numbers;
}

/** The 32-bit FNV-1a hash of a text's UTF-8. @param {string} text */
function fnv1a(text) {
  return new TextEncoder().encode(text).reduce((sum, byte) => Math.imul(sum ^ byte, 0x01000193) >>> 0, 0x811c9dc5);
}

/**
 * The contents of the input `hyper` before AdamW's step number `step`, counted from 1.
 * @param {{beta1: number, beta2: number, eps: number, weight_decay: number}} optimizer @param {number} step
 * @param {number} rate the learning rate
 */
export function hyper({ beta1, beta2, eps, weight_decay }, step, rate) {
  return new Float32Array([1 - rate * weight_decay, 1 - beta1, beta2, 1 - beta2, Math.sqrt(1 - beta2 ** step), eps,
    rate / (1 - beta1 ** step), 1]);
}

/**
 * How far `found` is from `expected`, in units of 2^-24 of each element's magnitude: the largest, and where. A NaN is the
 * largest of all.
 * @param {ArrayLike<number>} found @param {ArrayLike<number>} expected @param {ArrayLike<number>} magnitudes
 * @param {boolean} normwise every element has the largest magnitude
 */
export function roundingError(found, expected, magnitudes, normwise = false) {
  let largest = 0, error = 0, at = -1;
  if (normwise) for (let i = 0; i < magnitudes.length; i++) largest = Math.max(largest, magnitudes[i]);
  for (let i = 0; i < expected.length; i++) {
    if (found[i] === expected[i]) continue;
    const beyond = Math.abs(found[i] - expected[i]) - SMALLEST;
    if (beyond <= 0) continue;
    const of = beyond / (2 ** -24 * (normwise ? largest : magnitudes[i]));  // NaN where found is
    if (!(of <= error)) { error = of; at = i; }
    if (Number.isNaN(error)) break;
  }
  return { error, at };
}

/**
 * A short trace of a tensor by which another can be compared with it: its norm and its products with 16 vectors of random
 * signs (Johnson and Lindenstrauss). NaN anywhere is NaN everywhere.
 * @param {ArrayLike<number>} tensor
 */
export function fingerprint(tensor) {
  const print = new Float64Array(1 + PROJECTIONS);
  for (let i = 0; i < tensor.length; i++) {
    const x = tensor[i], signs = hash(i);
    print[0] += x * x;
    for (let k = 0; k < PROJECTIONS; k++) print[1 + k] += signs >>> k & 1 ? x : -x;
  }
  print[0] = Math.sqrt(print[0]);
  return print;
}

/**
 * The distance of two tensors relative to the norm of the second, as their fingerprints let it be guessed: within a factor
 * of two nearly always.
 * @param {ArrayLike<number>} found @param {ArrayLike<number>} expected
 */
export function distance(found, expected) {
  let sum = 0;
  for (let k = 1; k <= PROJECTIONS; k++) sum += (found[k] - expected[k]) ** 2;
  const norm = expected[0];
  return norm === 0 ? (sum === 0 ? 0 : Infinity) : Math.sqrt(sum / PROJECTIONS) / norm;
}
