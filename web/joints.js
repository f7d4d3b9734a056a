// @ts-check
// The joints that were found, as a table and as JSON.

import { element } from './page.js';
import { scaled } from './picture.js';

/**
 * @typedef {import('./picture.js').Box} Box
 * @typedef {import('./picture.js').Picture} Picture
 * @typedef {{pose: import('./predict.js').Pose, picture: Picture, name: string, box: Box}} Found a result, and what it is of
 */

/** Digits after the point in JSON. */
const DIGITS = 4;

/** Joints in pixels of the file's picture: [x, y, score] each. @param {Found['pose']} pose @param {Picture} picture */
export function inFile({ joints }, { shrunk }) {
  return shrunk === 1 ? joints : joints.map(([x, y, score]) => [(x + 0.5) * shrunk - 0.5, (y + 0.5) * shrunk - 0.5, score]);
}

/** The mean score. @param {number[][]} joints */
export function mean(joints) {
  return joints.reduce((sum, joint) => sum + joint[2], 0) / Math.max(1, joints.length);
}

/**
 * How sure the network is of a joint with this score, about 0 to 1; undefined where scores do not tell.
 * @param {number} score @param {import('./page.js').Network} network
 */
export function certainty(score, { decode }) {
  if (decode === 'expectation') return undefined;
  return typeof decode === 'string' ? score : Math.min(1, Math.max(0, score - 0.5));
}

/** Rows for joints that are not known yet. @param {string[]} names */
export function emptyRows(names) {
  const cell = () => element('td', { className: 'number', textContent: '-' });
  return names.map(name => element('tr', {}, element('th', { scope: 'row', textContent: name }), cell(), cell(), cell()));
}

/**
 * Fills the rows.
 * @param {HTMLTableSectionElement} body @param {Found} found @param {number} least certainty of a joint that is sure
 * @param {import('./page.js').Network} network
 */
export function fillRows(body, { pose, picture }, least, network) {
  const joints = inFile(pose, picture);
  [...body.rows].forEach((row, joint) => {
    const [x, y, score] = joints[joint], [, left, top, confidence] = row.cells, sure = certainty(score, network);
    row.classList.toggle('unsure', sure !== undefined && sure < least);
    left.textContent = x.toFixed(1);
    top.textContent = y.toFixed(1);
    if (sure === undefined) return;
    const filled = element('span');
    filled.style.width = `${100 * Math.min(1, Math.max(0, sure))}%`;
    confidence.replaceChildren(sure.toFixed(2), element('span', { className: 'bar', ariaHidden: 'true' }, filled));
  });
}

/** @param {Found} found @param {import('./page.js').Network} network */
export function toJson({ pose, picture, name, box }, network) {
  const round = (/** @type {number} */ value) => Number(value.toFixed(DIGITS)), { shrunk } = picture;
  const joint = (/** @type {number[]} */ [x, y, score]) => ({ x: round(x), y: round(y), score: round(score) });
  const { x, y, width, height } = scaled(box, shrunk);
  return JSON.stringify({
    network: network.name,
    picture: name,
    width: picture.file.width,
    height: picture.file.height,
    box: [x, y, width, height].map(round),
    score: round(mean(pose.joints)),
    joints: Object.fromEntries(inFile(pose, picture).map((found, number) => [network.joints[number], joint(found)])),
  }, undefined, 2);
}
