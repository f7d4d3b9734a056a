// @ts-check
// Training of a bundle's small network on its people.

import { openSession } from './page.js';
import { hash, hyper, initialValues } from './numbers.js';
import { elements } from './runtime.js';

/**
 * @typedef {import('./page.js').Training} Training
 * @typedef {import('./runtime.js').Session} Session
 * @typedef {{people: number[], losses: number[], found: Float32Array[]}} Outcome numbers of the batch's people, the losses of
 *   joints and of bones where there are some, and for each person the joints that the network found, [x, y, score] each in
 *   heat-map pixels
 */

/** What AdamW reads for a step that leaves parameters and moments as they are. */
const NO_STEP = new Float32Array([1, 0, 1, 0, 1, 1e-8, 0, 0]);

/**
 * Gives parameters and state the values that training begins with. Needs no page.
 * @param {Session} session of a training plan @param {Training} training
 * @param {number} seed a whole number from 0 to 2^32 - 1
 */
export function initialize(session, training, seed) {
  for (const { tensors = [] } of session.plan.buffers) {
    for (const { name, shape } of tensors) {
      session.write(name, initialValues(training.initial[name] ?? { constant: 0 }, elements(shape), name, seed));
    }
  }
}

/** A network in training. The people at the end of the sheet are held out: a batch of them. */
export class Trainer {
  /**
   * With the first of `plans` that compiles.
   * @param {GPUDevice} device @param {import('./runtime.js').Plan[]} plans @param {Training} training
   * @param {Uint32Array} pixels of all people, one after the other
   * @param {(done: number, all: number) => void} [onProgress]
   */
  static async open(device, plans, training, pixels, onProgress) {
    return new Trainer(await openSession(device, plans, { onProgress }), training, pixels);
  }

  /** @param {Session} session @param {Training} training @param {Uint32Array} pixels */
  constructor(session, training, pixels) {
    const { batch, size: [height, width], people } = training;
    this.session = session;
    this.training = training;
    this.steps = 0;
    this.heldOut = Array.from({ length: batch }, (_, i) => people.count - batch + i);
    /** People that this pass has not had yet. @type {number[]} */ this.order = [];
    this.pass = 0;
    this.seed = 0;
    this.losses = ['loss.joints', 'loss.bones'].filter(name => session.plan.outputs.some(output => output.name === name));
    session.write('pixels', pixels);
    session.write('lattice', identity(batch, width, height));
    training.seeds.forEach((_, loss) => this.weigh(loss));
    this.reset(0);
  }

  /** Begins anew, with the values of a seed. @param {number} seed a whole number from 0 to 2^32 - 1 */
  reset(seed) {
    this.seed = seed;
    this.steps = 0;
    initialize(this.session, this.training, seed);
    this.order = [];
    this.pass = 0;
  }

  /** Sets the weight of a loss. @param {number} loss its number @param {number} [weight] the bundle's where absent */
  weigh(loss, weight = this.training.seeds[loss].value) {
    this.session.write(this.training.seeds[loss].input, new Float32Array([weight]));
  }

  /** The learning rate of the next step. @param {number} rate that after the warm-up */
  rateOf(rate) {
    return rate * Math.min(1, (this.steps + 1) / Math.max(1, this.training.warm_up));
  }

  /** A step on the next batch. @param {number} rate the learning rate after the warm-up @returns {Promise<Outcome>} */
  async step(rate) {
    const { optimizer } = this.training, now = this.rateOf(rate);
    this.steps += 1;
    return this.#run(this.#nextBatch(), hyper(optimizer, this.steps, now));
  }

  /** What the network finds in the people that are held out. It learns nothing from them. */
  async look() {
    return this.#run(this.heldOut, NO_STEP);
  }

  /** People without replacement, in another order in each pass. What is left of a pass is too few for a batch and sits out. */
  #nextBatch() {
    const { batch, people } = this.training;
    if (this.order.length < batch) {
      this.order = shuffled(people.count - this.heldOut.length, hash(this.seed ^ hash(++this.pass)));
    }
    return this.order.splice(0, batch);
  }

  /** @param {number[]} people @param {Float32Array} hyper @returns {Promise<Outcome>} */
  async #run(people, hyper) {
    const { session, training } = this, { size: [height, width], joints } = training;
    session.write('pictures', Uint32Array.from(people.flatMap(person => [person * width * height, width, height, 0])));
    session.write('joints', Float32Array.from(people.flatMap(person => training.people.joints[person].flat())));
    session.write('hyper', hyper);
    session.run();
    const [found, ...losses] = await session.read('found', ...this.losses);
    const stride = 3 * joints.length;
    const ofPeople = people.map((_, i) => found.subarray(i * stride, (i + 1) * stride));
    return { people, losses: losses.map(loss => loss[0]), found: ofPeople };
  }
}

/** Pixels as they are, for each picture of a batch. @param {number} batch @param {number} width @param {number} height */
function identity(batch, width, height) {
  const columns = Array.from({ length: width }, (_, x) => [1024 * x, 0]);
  const rows = Array.from({ length: height }, (_, y) => [0, 1024 * y]);
  return Int32Array.from(Array(batch).fill([...columns, ...rows].flat()).flat());
}

/**
 * The numbers from 0 up to `count` in an order that the seed gives (Fisher and Yates).
 * @param {number} count @param {number} seed
 */
function shuffled(count, seed) {
  const numbers = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = hash(seed + i | 0) % (i + 1);
    [numbers[i], numbers[j]] = [numbers[j], numbers[i]];
  }
  return numbers;
}

/** What a joint may be off by, as a share of the longer side of the box around the person's joints. */
const NEAR = 0.1;

/**
 * How many of a person's labelled joints are found, and how many there are.
 * @param {number[][]} truth [x, y, more than 0 where labelled] @param {ArrayLike<number>} found three numbers a joint
 */
export function countFound(truth, found) {
  const labelled = truth.map((joint, number) => ({ joint, number })).filter(({ joint }) => joint[2] > 0);
  const side = (/** @type {number} */ axis) => {
    const along = labelled.map(({ joint }) => joint[axis]);
    return Math.max(...along) - Math.min(...along);
  };
  const reach = NEAR * Math.max(side(0), side(1));
  const off = labelled.map(({ joint: [x, y], number }) => Math.hypot(found[3 * number] - x, found[3 * number + 1] - y));
  return { found: off.filter(distance => distance <= reach).length, all: labelled.length };
}

/** The mean place of each joint, as a network might answer that looks at no picture. @param {number[][][]} people */
export function meanPose(people) {
  return Float32Array.from(people[0].flatMap((_, joint) => {
    const labelled = people.map(person => person[joint]).filter(it => it[2] > 0);
    const mean = (/** @type {number} */ axis) => labelled.reduce((sum, it) => sum + it[axis], 0) / Math.max(1, labelled.length);
    return [mean(0), mean(1), 1];
  }));
}
