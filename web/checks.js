// @ts-check
// Compares an inference and a training step with what the program computed, and finds the dispatch that differs first. Needs
// no page: node with Dawn does as well.

import { distance, fingerprint, hyper } from './numbers.js';
import { initialize } from './trainer.js';
import { Refusal, Session } from './runtime.js';

/**
 * @typedef {import('./runtime.js').Plan} Plan
 * @typedef {import('./tensors.js').Tensor} Tensor
 * @typedef {import('./page.js').Training} Training
 * @typedef {{shader: (kernel: string) => Promise<string> | string,
 *   turn?: (text: string, fraction: number) => Promise<void> | void}} Options `turn` is called before each piece of work with
 *   what it is and how much is done; it may wait, and ends the work by throwing
 * @typedef {{name: string, shape: number[], largest: number, absolute: number, units: number, pixels?: number, allowed: string,
 *   passed: boolean, undecided?: boolean}} OutputCheck largest magnitude that is expected, largest difference, the same in units
 *   of the last place of the largest magnitude, and of joints' places in heat-map pixels; `undecided` where any place is right
 * @typedef {{name: string, kind: 'parameter' | 'moment' | 'statistic', distance: number, allowed: number,
 *   turned?: number, elements: number,
 *   passed: boolean}} TensorCheck distance relative to the expected norm; of parameters, about how many elements stepped the
 *   other way
 * @typedef {{number: number, label: string, kernel: string, distance: number,
 *   allowed: number}} DispatchCheck
 * @typedef {{compared: number, first?: DispatchCheck, worst?: DispatchCheck, all: DispatchCheck[]}} Search `first` is the first
 *   that differs too much, `worst` the one that differs most by what is allowed
 */

/** Relative difference of outputs that rounding does not explain. */
const RELATIVE = 1e-3;
/** The least relative distance of two tensors that rounding does not explain. */
const FLOOR = 1e-5;
/**
 * More than that may be so many times what a tensor moves where all parameters change by one unit in their last place: the
 * gradient of a batch normalisation, for one, is what is left of numbers that nearly cancel.
 */
const NOISE = 16;
/** Heat-map pixels that a joint may be off, if not more by `NOISE`. */
const PIXELS = 0.01;
/** Heat-map pixels: a joint that such a change of the parameters moves farther lies on a map without a peak. */
const FLAT = 0.5;
/** Share of a tensor's elements that may step the other way. */
const TURNED = 0.02;
/** Share of joints that a network without training may find elsewhere: its maps are flat. */
const ELSEWHERE = 0.02;

/**
 * What a training plan gets before step 1.
 * @param {Training} training @param {Session} session @param {Map<string, Tensor>} vectors
 */
function prepareTraining(training, session, vectors) {
  initialize(session, training, 0);
  for (const { input, value } of training.seeds) session.write(input, new Float32Array([value]));
  session.write('hyper', hyper(training.optimizer, 1, training.learning_rate));
  writeInputs(session, vectors);
}

/** Writes the tensors `input.NAME`. @param {Session} session @param {Map<string, Tensor>} vectors */
function writeInputs(session, vectors) {
  for (const [name, { data }] of vectors) if (name.startsWith('input.')) session.write(name.slice('input.'.length), data);
}

/**
 * How far a tensor is from the one that the vectors hold a fingerprint of, and how far it may be.
 * @typedef {(tensor: Float32Array, number: number) => {distance: number, allowed: number, norm: number}} Comparison
 */

/** @param {Map<string, Tensor>} vectors @returns {Comparison} */
function comparisonWith(vectors) {
  const prints = vectors.get('fingerprints'),
    noise = vectors.get('noise');
  if (!prints || !noise) throw new Refusal('The bundle has no fingerprints: write the folder again.');
  const length = /** @type {number} */ (prints.shape.at(-1));
  return (tensor, number) => {
    const expected = prints.data.subarray(number * length, (number + 1) * length);
    const off = distance(fingerprint(tensor), expected);
    return {
      distance: Number.isNaN(off) ? Infinity : off,
      allowed: Math.max(FLOOR, NOISE * noise.data[number]),
      norm: expected[0],
    };
  };
}

/**
 * @param {GPUDevice} device @param {Plan} plan @param {{tensors?: Map<string, Tensor>, complete?: boolean}} given as in
 *   `Session.open` @param {Options} options
 */
function openSession(device, plan, given, { shader, turn }) {
  return Session.open(device, plan, {
    shader,
    ...given,
    onProgress: (done, all) => {
      Promise.resolve(turn?.(`Compiling kernels: ${done} of ${all}.`, done / all)).catch(() => undefined);
    },
  });
}

/**
 * Checks the outputs of a run.
 * @param {Session} session @param {Map<string, Tensor>} vectors
 * @param {typeof checkPlaces} checkJoints what may be said of joints' places
 */
async function checkOutputs(session, vectors, checkJoints) {
  const names = [...vectors.keys()].filter(name => name.startsWith('output.')).map(name => name.slice('output.'.length));
  const found = await session.read(...names);
  return names.flatMap((name, i) => {
    const expected = /** @type {Tensor} */ (vectors.get(`output.${name}`));
    if (name !== 'joints' && name !== 'found') return [checkOutput(name, found[i], expected)];
    const noise = vectors.get(`noise.${name}`)?.data ?? [];
    return [...checkJoints(name, found[i], expected, noise), checkMaxima(name, found[i], expected)];
  });
}

/** @param {ArrayLike<number>} found @param {ArrayLike<number>} expected */
function differences(found, expected) {
  let largest = 0,
    absolute = 0;
  for (let i = 0; i < expected.length; i++) {
    largest = Math.max(largest, Math.abs(expected[i]));
    absolute = Math.max(absolute, Math.abs(found[i] - expected[i])); // NaN where one is
  }
  return { largest, absolute, units: absolute === 0 ? 0 : absolute / 2 ** (Math.floor(Math.log2(largest)) - 23) };
}

/** @param {string} name @param {Float32Array} found @param {Tensor} expected @returns {OutputCheck} */
function checkOutput(name, found, { shape, data }) {
  const difference = differences(found, data);
  return {
    name,
    shape,
    ...difference,
    allowed: `${RELATIVE} of the largest`,
    passed: found.length === data.length && difference.absolute <= RELATIVE * difference.largest,
  };
}

/**
 * Places of joints on maps that have peaks. Joints are x, y, maximum of the map. Where a map is flat, rounding decides where its
 * maximum is: no place there is wrong.
 * @param {string} name @param {Float32Array} found @param {Tensor} expected
 * @param {ArrayLike<number>} noise heat-map pixels that each joint moves where all parameters change by one unit in their last
 *   place; empty where nobody knows
 * @returns {OutputCheck[]}
 */
function checkPlaces(name, found, { shape, data }, noise) {
  const joints = Array.from({ length: data.length / 3 }, (_, joint) => joint);
  const noiseOf = (/** @type {number} */ joint) => noise[joint] ?? 0;
  const flat = joints.filter(joint => noiseOf(joint) > FLAT),
    decided = joints.filter(joint => !(noiseOf(joint) > FLAT));
  const isWhole = found.length === data.length,
    allowed = (/** @type {number} */ joint) => Math.max(PIXELS, NOISE * noiseOf(joint));
  const most = Math.max(PIXELS, ...decided.map(allowed));
  /** @type {OutputCheck[]} */
  const checks = [];
  if (decided.length > 0) {
    checks.push({
      name: `${name}: places`,
      shape: flat.length > 0 ? [decided.length, 2] : shape,
      ...placeDifferences(found, data, decided),
      allowed: most > PIXELS ? `${PIXELS} pixels, ${most.toPrecision(2)} where rounding moves them` : `${PIXELS} pixels`,
      passed: isWhole && decided.every(joint => distanceOf(found, data, joint) <= allowed(joint)),
    });
  }
  if (flat.length > 0) {
    checks.push({
      name: `${name}: places of ${flat.length === 1 ? 'number' : 'numbers'} ${flat.map(joint => joint + 1).join(', ')}`,
      shape: [flat.length, 2],
      ...placeDifferences(found, data, flat),
      allowed: flat.length === 1 ? 'undecided: its map is flat' : 'undecided: their maps are flat',
      passed: isWhole && flat.every(joint => Number.isFinite(distanceOf(found, data, joint))),
      undecided: true,
    });
  }
  return checks;
}

/**
 * Places of joints that a network without training finds: some of its maps are flat.
 * @param {string} name @param {Float32Array} found @param {Tensor} expected @returns {OutputCheck[]}
 */
function checkUntrainedPlaces(name, found, { shape, data }) {
  const joints = Array.from({ length: data.length / 3 }, (_, joint) => joint);
  const off = joints.filter(joint => !(distanceOf(found, data, joint) <= PIXELS)).length;
  return [
    {
      name: `${name}: places`,
      shape,
      ...placeDifferences(found, data, joints),
      allowed: `${PIXELS} pixels, ${100 * ELSEWHERE} % of them more`,
      passed: found.length === data.length && off <= ELSEWHERE * joints.length,
    },
  ];
}

/** Pixels between a joint's two places. @param {ArrayLike<number>} a @param {ArrayLike<number>} b @param {number} joint */
function distanceOf(a, b, joint) {
  return Math.hypot(a[3 * joint] - b[3 * joint], a[3 * joint + 1] - b[3 * joint + 1]);
}

/** @param {ArrayLike<number>} found @param {ArrayLike<number>} expected @param {number[]} joints */
function placeDifferences(found, expected, joints) {
  const places = (/** @type {ArrayLike<number>} */ of) => joints.flatMap(joint => [of[3 * joint], of[3 * joint + 1]]);
  return {
    ...differences(places(found), places(expected)),
    pixels: Math.max(...joints.map(joint => distanceOf(found, expected, joint))),
  };
}

/** Maxima of the joints' maps. @param {string} name @param {Float32Array} found @param {Tensor} expected */
function checkMaxima(name, found, { shape, data }) {
  const maxima = (/** @type {ArrayLike<number>} */ of) => Float32Array.from(of).filter((_, i) => i % 3 === 2);
  return checkOutput(`${name}: maxima`, maxima(found), { shape: [...shape.slice(0, -1), 1], data: maxima(data) });
}

/**
 * Runs an inference and compares its outputs.
 * @param {GPUDevice} device @param {Plan} plan @param {Map<string, Tensor>} weights @param {Map<string, Tensor>} vectors
 * @param {Options} options
 */
export async function checkInference(device, plan, weights, vectors, options) {
  const session = await openSession(device, plan, { tensors: weights, complete: true }, options);
  try {
    await options.turn?.(`Running ${plan.name}.`, NaN);
    session.poison();
    writeInputs(session, vectors);
    session.run();
    const outputs = await checkOutputs(session, vectors, checkPlaces);
    return { plan: plan.name, target: plan.target, outputs, passed: outputs.every(({ passed }) => passed) };
  } finally {
    session.destroy();
  }
}

/**
 * Runs one training step from the initial values of seed 0, and compares losses and then all tensors.
 * @param {GPUDevice} device @param {Plan} plan @param {Training} training @param {Map<string, Tensor>} vectors
 * @param {Options} options
 */
export async function checkTraining(device, plan, training, vectors, options) {
  const compare = comparisonWith(vectors);
  const session = await openSession(device, plan, {}, options);
  try {
    await options.turn?.('Running one training step.', NaN);
    session.poison();
    prepareTraining(training, session, vectors);
    session.run();
    const outputs = await checkOutputs(session, vectors, checkUntrainedPlaces);
    const names = Object.keys(training.after),
      found = await session.read(...names);
    /** @type {TensorCheck[]} */
    const tensors = [];
    for (const [i, name] of names.entries()) {
      if (i % 32 === 0) await options.turn?.('Comparing the tensors after the step.', i / names.length);
      const { role } = session.place(name),
        compared = compare(found[i], training.after[name]);
      tensors.push(checkTensor(name, role, found[i].length, compared, training.learning_rate));
    }
    return {
      plan: plan.name,
      target: plan.target,
      outputs,
      tensors,
      passed: [...outputs, ...tensors].every(({ passed }) => passed),
    };
  } finally {
    session.destroy();
  }
}

/**
 * AdamW's first step is the learning rate times the gradient's sign: of a gradient that is mere rounding it goes either way. So
 * of parameters some elements may have stepped the other way, which moments and statistics do not feel.
 * @param {string} name @param {string} role @param {number} count of its elements @param {ReturnType<Comparison>} compared
 * @param {number} rate @returns {TensorCheck}
 */
function checkTensor(name, role, count, { distance, allowed, norm }, rate) {
  const passed = distance <= allowed;
  if (role !== 'parameter') {
    return { name, kind: name.startsWith('optimizer.') ? 'moment' : 'statistic', distance, allowed, elements: count, passed };
  }
  const turned = ((distance * norm) / (2 * rate)) ** 2;
  const kind = 'parameter';
  return { name, kind, distance, allowed, turned, elements: count, passed: passed || turned <= Math.max(1, TURNED * count) };
}

/**
 * Runs dispatch by dispatch and compares what each wrote, until one differs too much or, where `isWhole`, to the end.
 * @param {Session} session @param {Comparison} compare @param {boolean} isWhole
 * @param {Options['turn']} turn @returns {Promise<Search>}
 */
async function search(session, compare, isWhole, turn) {
  /** @type {DispatchCheck[]} */
  const all = [];
  const { dispatches, pipelines } = session.plan;
  await session.step(async (dispatch, number, found) => {
    await turn?.(`Comparing dispatch ${number + 1} of ${dispatches.length}.`, number / dispatches.length);
    const { label, pipeline } = dispatch;
    const { distance, allowed } = found.map(({ print, tensor }) => compare(tensor, print)).reduce(worse);
    all.push({ number, label, kernel: pipelines[pipeline].kernel, distance, allowed });
    return distance > allowed && !isWhole;
  });
  return {
    compared: all.length,
    first: all.find(({ distance, allowed }) => distance > allowed),
    worst: all.length > 0 ? all.reduce(worse) : undefined,
    all,
  };
}

/** The one that is farther beyond what is allowed. @template {{distance: number, allowed: number}} T @param {T} a @param {T} b */
function worse(a, b) {
  return b.distance / b.allowed > a.distance / a.allowed ? b : a;
}

/**
 * @param {GPUDevice} device @param {Plan} plan the one that the vectors are of @param {Map<string, Tensor>} weights
 * @param {Map<string, Tensor>} vectors @param {Options & {isWhole?: boolean}} options
 */
export async function searchInference(device, plan, weights, vectors, options) {
  const session = await openSession(device, plan, { tensors: weights, complete: true }, options);
  try {
    session.poison();
    writeInputs(session, vectors);
    return await search(session, comparisonWith(vectors), options.isWhole ?? false, options.turn);
  } finally {
    session.destroy();
  }
}

/**
 * @param {GPUDevice} device @param {Plan} plan @param {Training} training @param {Map<string, Tensor>} vectors
 * @param {Options & {isWhole?: boolean}} options
 */
export async function searchTraining(device, plan, training, vectors, options) {
  const session = await openSession(device, plan, {}, options);
  try {
    session.poison();
    prepareTraining(training, session, vectors);
    return await search(session, comparisonWith(vectors), options.isWhole ?? false, options.turn);
  } finally {
    session.destroy();
  }
}
