// @ts-check
// Runs kernels on their cases and compares them with the float64 references. Needs no page: node with Dawn does as well.

import { distance, fingerprint, hash, roundingError, uniform } from './numbers.js';
import { Refusal, Session, elements, whatIsMissing } from './runtime.js';

/**
 * @typedef {import('./runtime.js').Plan} Plan
 * @typedef {import('./tensors.js').Tensor} Tensor
 * @typedef {{name: string, tolerance: number, normwise: boolean, kernels: string[], plan: Plan}} Variant
 * @typedef {{operator: string, title: string, inputs: {name: string, uniform?: [number, number]}[], outputs: string[],
 *   variants: Variant[]}} Case
 * @typedef {{tensors: string, kernels: {name: string, summary: string, operators: string[]}[],
 *   references: Record<string, {file: string, source: string}>, cases: Case[]}} Kernels what `kernels.json` holds
 * @typedef {{number: number, title: string, operator: string, variant: string, kernels: string[], tolerance: number}} Which
 * @typedef {{output: string, place: number[], found: number, expected: number, error: number}} Worst an element: its place in
 *   the tensor, and its error in units of 2^-24 of its magnitude
 * @typedef {Which & {outcome: 'passed' | 'failed' | 'left out', error: number, worst?: Worst, message?: string}} Outcome `error`
 *   is that of the worst element of all outputs, Infinity where nothing could be compared; `message` says why not
 * @typedef {(kernel: string) => Promise<string> | string} Shaders a kernel's WGSL by its name
 * @typedef {(text: string, fraction: number) => Promise<void> | void} Turn called before each piece of work with what it is and
 *   how much is done; it may wait, and ends the work by throwing
 */

/** Elements of an output that the bundle has at most. */
const SAMPLED = 4096;

/** Inputs of a case that are drawn: what the program drew, too. @param {number} number of the case @param {number} input */
const seedOf = (number, input) => hash(1000 * number + input);

/**
 * The inputs of case `number` as its variants' plans take them.
 * @param {Case} one @param {number} number @param {Plan} plan @param {Map<string, Tensor>} tensors of the cases
 * @returns {[string, Tensor['data']][]}
 */
function inputsOf(one, number, plan, tensors) {
  const shapes = new Map(
    plan.buffers
      .flatMap(({ name, shape, tensors = [] }) => [...(name && shape ? [{ name, shape }] : []), ...tensors])
      .map(({ name, shape }) => [name, shape]),
  );
  return one.inputs
    .filter(({ name }) => shapes.has(name))
    .map(({ name, uniform: range }) => {
      const given = tensors.get(`${number}.${name}`);
      if (!range) {
        if (!given) throw new Error(`The bundle lacks the tensor '${number}.${name}'.`);
        return [name, given.data];
      }
      const input = one.inputs.findIndex(it => it.name === name);
      return [name, uniform(elements(/** @type {number[]} */ (shapes.get(name))), range[0], range[1], seedOf(number, input))];
    });
}

/**
 * Runs one variant of case `number` and compares all outputs with the reference's.
 * @param {GPUDevice} device @param {Case} one @param {number} number @param {Variant} variant
 * @param {Map<string, Tensor>} tensors of the cases
 * @param {{shader: Shaders}} options
 * @returns {Promise<Outcome>} a kernel that does not compile, or that the device refuses, is a failure with a message
 */
async function runCase(device, one, number, variant, tensors, { shader }) {
  const which = whichOf(one, number, variant);
  try {
    return await withSession(device, one, number, variant, tensors, shader, async session => {
      device.pushErrorScope('validation');
      let found, refused;
      try {
        session.run();
        found = await session.read(...one.outputs);
      } finally {
        refused = await device.popErrorScope();
      }
      if (refused) throw new Error(refused.message);
      return compare(one, which, variant, tensors, found);
    });
  } catch (error) {
    return { ...which, outcome: 'failed', error: Infinity, message: error instanceof Error ? error.message : String(error) };
  }
}

/**
 * Seconds of a run of one variant of case `number`. In-place operators go on from their own results.
 * @param {GPUDevice} device @param {Case} one @param {number} number @param {Variant} variant
 * @param {Map<string, Tensor>} tensors @param {{shader: Shaders}} options
 */
export function timeCase(device, one, number, variant, tensors, { shader }) {
  return withSession(device, one, number, variant, tensors, shader, session => session.time());
}

/**
 * Runs every `every`-th case with all its variants.
 * @param {{adapter: GPUAdapter, device: GPUDevice}} gpu @param {Kernels} kernels @param {Map<string, Tensor>} tensors
 * @param {{shader: Shaders, every?: number, kernel?: string, turn?: Turn, onOutcome?: (outcome: Outcome) => void}} options only
 *   variants that run `kernel` where it is given; `onOutcome` hears of each at once
 */
export async function runAll({ adapter, device }, kernels, tensors, { shader, every = 1, kernel, turn, onOutcome }) {
  /** @type {Outcome[]} */
  const outcomes = [];
  let isLost = false;
  device.lost.then(() => {
    isLost = true;
  });
  const runs = casesOf(kernels, kernel).filter(({ number }) => number % every === 0);
  for (const [done, { one, number, variant }] of runs.entries()) {
    await turn?.(`${one.title}, ${variant.name}: ${done + 1} of ${runs.length}`, done / runs.length);
    const message = whatIsMissing(adapter, variant.plan);
    /** @type {Outcome} */
    const outcome = message
      ? { ...whichOf(one, number, variant), outcome: 'left out', error: 0, message }
      : await runCase(device, one, number, variant, tensors, { shader });
    // Promises of a lost device may end before the news of its loss.
    if (outcome.message) await new Promise(resolve => setTimeout(resolve));
    if (isLost)
      throw new Refusal(`The GPU was lost in ${one.title}, ${variant.name} (${variant.kernels.join(', ')}): reload the page.`);
    outcomes.push(outcome);
    onOutcome?.(outcome);
  }
  return outcomes;
}

/**
 * What the compiler says against a kernel's source, by line. Nothing where the device lacks what the kernel needs: its cases are
 * left out then.
 * @param {GPUDevice} device @param {Kernels} kernels @param {string} kernel @param {string} source
 */
export async function compileErrors(device, kernels, kernel, source) {
  const needs = casesOf(kernels, kernel).map(({ variant }) => featuresOf(variant.plan, kernel));
  const features = needs.find(needed => needed.every(it => device.features.has(/** @type {GPUFeatureName} */ (it))));
  if (!features) return [];
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ label: kernel, code: features.map(it => `enable ${it}; `).join('') + source });
  const [{ messages }] = await Promise.all([module.getCompilationInfo(), device.popErrorScope()]);
  return messages.filter(({ type }) => type === 'error').map(({ lineNum, message }) => ({ line: lineNum, text: message }));
}

/** The features that a plan enables in a kernel. @param {Plan} plan @param {string} kernel */
function featuresOf({ pipelines }, kernel) {
  return [...new Set(pipelines.filter(it => it.kernel === kernel).flatMap(it => it.features ?? []))];
}

/**
 * All cases with their variants, or those that run `kernel`.
 * @param {Kernels} kernels @param {string} [kernel]
 */
export function casesOf(kernels, kernel) {
  return kernels.cases.flatMap((one, number) =>
    one.variants
      .filter(({ kernels }) => kernel === undefined || kernels.includes(kernel))
      .map(variant => ({ one, number, variant })),
  );
}

/**
 * Sums of outcomes by kernel and variant, in the order of `kernels`. A variant of several kernels counts for each.
 * @param {Kernels} kernels @param {Outcome[]} outcomes
 */
export function byKernel(kernels, outcomes) {
  return kernels.kernels.flatMap(({ name }) => {
    const own = outcomes.filter(({ kernels }) => kernels.includes(name));
    const variants = [...new Set(own.map(({ operator, variant }) => `${operator}, ${variant}`))];
    return variants.map(variant => {
      const of = own.filter(it => `${it.operator}, ${it.variant}` === variant),
        ran = of.filter(it => it.outcome !== 'left out');
      const worst = ran.reduce((worst, { error, tolerance }) => Math.max(worst, shareOfTolerance(error, tolerance)), 0);
      return {
        kernel: name,
        variant,
        cases: ran.length,
        passed: ran.filter(it => it.outcome === 'passed').length,
        leftOut: of.length - ran.length,
        worst,
      };
    });
  });
}

/** An error as a share of the tolerance: above 1 it is too large. @param {number} error @param {number} tolerance */
export function shareOfTolerance(error, tolerance) {
  return Number.isNaN(error) ? Infinity : error === 0 ? 0 : error / tolerance;
}

/** @param {Case} one @param {number} number @param {Variant} variant @returns {Which} */
function whichOf({ title, operator }, number, { name, kernels, tolerance }) {
  return { number, title, operator, variant: name, kernels, tolerance };
}

/**
 * @template T
 * @param {GPUDevice} device @param {Case} one @param {number} number @param {Variant} variant
 * @param {Map<string, Tensor>} tensors @param {Shaders} shader @param {(session: Session) => Promise<T>} work
 */
async function withSession(device, one, number, variant, tensors, shader, work) {
  const session = await Session.open(device, variant.plan, { shader });
  try {
    session.poison();
    for (const [name, data] of inputsOf(one, number, variant.plan, tensors)) session.write(name, data);
    return await work(session);
  } finally {
    session.destroy();
  }
}

/**
 * @param {Case} one @param {Which} which @param {Variant} variant @param {Map<string, Tensor>} tensors
 * @param {Float32Array[]} found by output
 * @returns {Outcome}
 */
function compare(one, which, { plan, tolerance, normwise }, tensors, found) {
  /** @type {Worst | undefined} */
  let worst;
  let largest = 0;
  for (const [i, output] of one.outputs.entries()) {
    const tensor = (/** @type {string} */ what) => tensors.get(`${which.number}.${output.replace('output', what)}`);
    const [expected, magnitude, print] = [tensor('output'), tensor('magnitude'), tensor('print')];
    if (!expected || !magnitude) throw new Error(`The bundle lacks what the reference found for '${which.number}.${output}'.`);
    const numbers = found[i];
    // Of large tensors the bundle has every so many elements, and a fingerprint of all.
    const every = print ? Math.ceil(numbers.length / SAMPLED) | 1 : 1;
    const sampled = every === 1 ? numbers : numbers.filter((_, at) => at % every === 0);
    if (sampled.length !== expected.data.length) {
      throw new Error(`${output} has ${numbers.length} elements; ${sampled.length} were to be ${expected.data.length}.`);
    }
    const { error, at } = roundingError(sampled, expected.data, magnitude.data, normwise);
    const index = Math.max(at, 0);
    const shape = plan.outputs.find(({ name }) => name === output)?.shape ?? expected.shape;
    if (!worst || shareOfTolerance(error, tolerance) > shareOfTolerance(largest, tolerance)) {
      largest = error;
      worst = { output, place: placeOf(index * every, shape), found: sampled[index], expected: expected.data[index], error };
    }
    const share = print ? shareOfAll(numbers, expected.data, magnitude.data, print.data, tolerance, normwise) : 0;
    if (!(share <= 1) && shareOfTolerance(error, tolerance) <= 1) {
      const message = `${output}: all elements together are off by ${share.toPrecision(3)} times what is allowed.`;
      return { ...which, outcome: 'failed', error: share * tolerance, message };
    }
  }
  return { ...which, outcome: shareOfTolerance(largest, tolerance) <= 1 ? 'passed' : 'failed', error: largest, worst };
}

/**
 * The distance of a whole tensor from that of a fingerprint, as a share of what it may be where each element is off by the
 * tolerance. A sample of the expected elements and of the magnitudes tells their norms.
 * @param {ArrayLike<number>} found @param {ArrayLike<number>} expected @param {ArrayLike<number>} magnitudes
 * @param {ArrayLike<number>} print @param {number} tolerance @param {boolean} normwise
 */
function shareOfAll(found, expected, magnitudes, print, tolerance, normwise) {
  let norm = 0,
    allowed = 0,
    largest = 0;
  for (let i = 0; i < expected.length; i++) {
    norm += expected[i] ** 2;
    allowed += magnitudes[i] ** 2;
    largest = Math.max(largest, magnitudes[i]);
  }
  if (normwise) allowed = largest ** 2 * expected.length;
  // A fingerprint's guess is within a factor of two, and is itself float32.
  return distance(fingerprint(found), print) / (2 ** -24 * (2 * tolerance * Math.sqrt(allowed / norm) + 4));
}

/** The indices of element number `index` of a tensor. @param {number} index @param {number[]} shape */
function placeOf(index, shape) {
  const place = [];
  for (const extent of [...shape].reverse()) {
    place.unshift(index % extent);
    index = Math.floor(index / extent);
  }
  return place;
}
