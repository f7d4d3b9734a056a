// @ts-check
// Curves over the steps of a training.

import { sharp } from './draw.js';

/**
 * @typedef {{name: string, colour: string, dash: number[], steps: number[], values: number[], smooth: boolean}} Series `colour`
 *   is a CSS variable's name; `smooth` draws a running mean, and pale behind it the values
 */

/** Steps over which a running mean forgets. */
const MEMORY = 30;

/** A running mean that begins with the first value and not with 0. @param {number[]} values @param {number} [memory] */
export function smoothed(values, memory = MEMORY) {
  let sum = 0, weight = 0;
  return values.map(value => {
    const kept = 1 - 1 / memory;
    sum = kept * sum + value;
    weight = kept * weight + 1;
    return sum / weight;
  });
}

/**
 * Draws series over the steps.
 * @param {HTMLCanvasElement} canvas @param {Series[]} series
 * @param {{y: string, log?: boolean, range?: number[], lines?: {name: string, value: number}[]}} options title of the y axis,
 *   whether it is logarithmic, its range where it is fixed, and level lines
 */
export function drawCurve(canvas, series, { y: title, log = false, range, lines = [] }) {
  const { context, width, height, scale } = sharp(canvas), style = getComputedStyle(canvas);
  const colour = (/** @type {string} */ name) => style.getPropertyValue(name) || 'gray';
  const left = 52 * scale, right = width - 10 * scale, top = 24 * scale, bottom = height - 36 * scale;
  const all = series.flatMap(({ values }) => values.filter(value => Number.isFinite(value) && (!log || value > 0)));
  const last = Math.max(10, ...series.map(({ steps }) => steps.at(-1) ?? 0));
  let [low, high] = range ?? bounds(all, log);
  const scaleY = (/** @type {number} */ value) => log ? Math.log10(value) : value;
  const atX = (/** @type {number} */ step) => left + (right - left) * step / last;
  const shareY = (/** @type {number} */ value) => (scaleY(value) - scaleY(low)) / (scaleY(high) - scaleY(low));
  const atY = (/** @type {number} */ value) => bottom - (bottom - top) * shareY(value);

  context.font = `${12 * scale}px system-ui, sans-serif`;
  context.lineWidth = scale;
  context.fillStyle = colour('--quiet');
  context.strokeStyle = colour('--line');
  context.textBaseline = 'middle';
  context.textAlign = 'right';
  for (const tick of log ? decades(low, high) : evenly(low, high, 5)) {
    line(context, [[left, atY(tick)], [right, atY(tick)]]);
    context.fillText(label(tick), left - 6 * scale, atY(tick));
  }
  context.textBaseline = 'top';
  context.textAlign = 'center';
  for (const tick of evenly(0, last, width / scale < 420 ? 3 : 6)) {
    line(context, [[atX(tick), bottom], [atX(tick), bottom + 4 * scale]]);
    context.fillText(label(tick), atX(tick), bottom + 6 * scale);
  }
  context.fillText('step', (left + right) / 2, bottom + 20 * scale);
  context.textAlign = 'left';
  context.fillText(title, 0, 2 * scale);

  context.save();
  context.beginPath();
  context.rect(left, top - scale, right - left, bottom - top + 2 * scale);
  context.clip();
  for (const { name, value } of lines) {
    context.strokeStyle = context.fillStyle = colour('--quiet');
    context.setLineDash([2 * scale, 3 * scale]);
    line(context, [[left, atY(value)], [right, atY(value)]]);
    context.textAlign = 'right';
    context.textBaseline = 'bottom';
    context.fillText(name, right - 2 * scale, atY(value) - 2 * scale);
  }
  for (const { steps, values, colour: name, dash, smooth } of series) {
    const points = (/** @type {number[]} */ values) =>
      thinned(steps, values, 2 * (right - left) / scale).map(([step, value]) => [atX(step), atY(value)]);
    context.strokeStyle = colour(name);
    if (smooth) {
      context.setLineDash([]);
      context.globalAlpha = 0.3;
      line(context, points(values));
      context.globalAlpha = 1;
    }
    context.setLineDash(dash.map(length => length * scale));
    context.lineWidth = 2 * scale;
    const strong = points(smooth ? smoothed(values) : values);
    line(context, strong);
    if (strong.length === 1) context.fillRect(strong[0][0] - 2 * scale, strong[0][1] - 2 * scale, 4 * scale, 4 * scale);
    context.lineWidth = scale;
  }
  context.restore();
}

/** @param {CanvasRenderingContext2D} context @param {number[][]} points */
function line(context, points) {
  context.beginPath();
  for (const [x, y] of points) if (Number.isFinite(y)) context.lineTo(x, y);
  context.stroke();
}

/**
 * About `most` points: of each stretch of steps its least and its greatest.
 * @param {number[]} steps @param {number[]} values @param {number} most
 */
function thinned(steps, values, most) {
  const stretch = Math.max(1, Math.ceil(2 * values.length / most));
  if (stretch === 1) return values.map((value, i) => [steps[i], value]);
  const points = [];
  for (let from = 0; from < values.length; from += stretch) {
    let least = from, greatest = from;
    for (let i = from; i < Math.min(from + stretch, values.length); i++) {
      if (values[i] < values[least]) least = i;
      if (values[i] > values[greatest]) greatest = i;
    }
    for (const i of least < greatest ? [least, greatest] : [greatest, least]) points.push([steps[i], values[i]]);
  }
  return points;
}

/** @param {number[]} values @param {boolean} log */
function bounds(values, log) {
  if (values.length === 0) return log ? [0.01, 1] : [0, 1];
  const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
  if (log) return [low / 1.2, Math.max(high * 1.2, low * 3)];
  return [low, high > low ? high : low + 1];
}

/** Multiples of powers of ten that give a few ticks. @param {number} low @param {number} high */
function decades(low, high) {
  const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high));
  const powers = Array.from({ length: last - first + 1 }, (_, i) => 10 ** (first + i));
  const choices = [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 7]]
    .map(digits => powers.flatMap(power => digits.map(digit => digit * power)).filter(tick => tick >= low && tick <= high));
  return choices.find(ticks => ticks.length >= 3) ?? choices[choices.length - 1];
}

/** @param {number} low @param {number} high @param {number} most */
function evenly(low, high, most) {
  const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(digit => digit * power).find(step => step >= rough) ?? rough;
  const first = Math.ceil(low / step - 1e-9), last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

/** @param {number} tick */
function label(tick) {
  if (tick === 0) return '0';
  if (tick >= 1e4) return `${Number((tick / 1e3).toPrecision(3))}k`;
  return tick < 1e-3 ? tick.toExponential(0) : String(Number(tick.toPrecision(3)));
}
