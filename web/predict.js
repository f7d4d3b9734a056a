// @ts-check
// Poses by a bundle's network.

import { openSession } from './page.js';
import { cropOf } from './crop.js';

/**
 * @typedef {import('./page.js').Network} Network
 * @typedef {import('./picture.js').Box} Box
 * @typedef {import('./picture.js').Picture} Picture
 * @typedef {{joints: number[][], milliseconds: number, area: Box, heatMaps: Float32Array[], boneMaps: Float32Array[],
 *   channelAttention: number[][], spatialAttention: Float32Array[]}} Pose joints are [x, y, score] in pixels of the picture, of
 *   which (0, 0) is the first one's centre; the maps cover `area`; there are two channels a bone; what the network does not have
 *   is empty
 */

/** Finds one person's joints at a time. */
export class Predictor {
  /**
   * With the first of `plans` that compiles. All its parameters must be among `tensors`.
   * @param {GPUDevice} device @param {import('./runtime.js').Plan[]} plans
   * @param {{network: Network, tensors: Map<string, import('./tensors.js').Tensor>,
   *   onProgress?: (done: number, all: number) => void}} options
   */
  static async open(device, plans, { network, tensors, onProgress }) {
    return new Predictor(await openSession(device, plans, { tensors, complete: true, onProgress }), network);
  }

  /** @param {import('./runtime.js').Session} session @param {Network} network */
  constructor(session, network) {
    this.session = session;
    this.network = network;
    const has = (/** @type {string} */ name) => session.plan.outputs.some(output => output.name === name);
    this.outputs = ['joints', 'heat_maps', 'bone_maps', 'channel_gate', 'spatial_gate'].filter(has);
  }

  /**
   * Not to be called again before it has returned.
   * @param {Picture} picture @param {Box} box the person's
   * @returns {Promise<Pose>}
   */
  async find(picture, box) {
    const start = performance.now(), { size, heat_map: heatMap } = this.network;
    const { window, lattice, inPicture, area } = cropOf(box, size, heatMap, picture);
    const { session } = this;
    session.write('pixels', picture.pixels(window));
    session.write('pictures', new Uint32Array([0, window.width, window.height, 0]));
    session.write('lattice', lattice);
    session.run();
    const read = await session.read(...this.outputs);
    const milliseconds = performance.now() - start;
    const output = (/** @type {string} */ name) => read[this.outputs.indexOf(name)] ?? new Float32Array();
    const maps = (/** @type {Float32Array} */ all) => split(all, heatMap[0] * heatMap[1]);
    const attention = (/** @type {Float32Array} */ gate) => gate.map(x => 1 + 1 / (1 + Math.exp(-x)));
    return {
      joints: split(output('joints'), 3).map(joint => [...inPicture(joint), joint[2]]),
      milliseconds, area,
      heatMaps: maps(output('heat_maps')),
      boneMaps: maps(output('bone_maps')),
      channelAttention: split(attention(output('channel_gate')), 2).map(channels => [...channels]),
      spatialAttention: maps(attention(output('spatial_gate'))),
    };
  }
}

/** @param {Float32Array} all @param {number} length of each part */
function split(all, length) {
  return Array.from({ length: Math.floor(all.length / length) }, (_, i) => all.subarray(i * length, (i + 1) * length));
}
