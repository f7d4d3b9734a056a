// @ts-check
// Tables that scroll sideways where they are wide, and numbers as they are written in them.

import { element } from './page.js';

/**
 * @typedef {string | number | Node} Cell
 * @typedef {{title: string, number?: boolean}} Column `number`: to the right
 */

/**
 * A table with a caption. The first cell of a row is its heading.
 * @param {string} caption @param {Column[]} columns @param {Cell[][]} rows
 */
export function table(caption, columns, rows) {
  const body = element('tbody');
  const head = element(
    'tr',
    {},
    ...columns.map(({ title, number }) =>
      element('th', { scope: 'col', className: number ? 'number' : '', textContent: title }),
    ),
  );
  const made = element('table', {}, element('caption', { textContent: caption }), element('thead', {}, head), body);
  /** @param {Cell[]} cells */
  const add = cells => {
    const row = cells.map((cell, i) => {
      const content = typeof cell === 'number' ? String(cell) : cell,
        className = columns[i].number ? 'number' : '';
      return i === 0 ? element('th', { scope: 'row', className }, content) : element('td', { className }, content);
    });
    const tr = element('tr', {}, ...row);
    body.append(tr);
    return tr;
  };
  rows.forEach(add);
  const scroll = element('div', { className: 'scroll', tabIndex: 0, role: 'region', ariaLabel: caption }, made);
  return { element: scroll, add };
}

/** Passed or failed, in words and colour. @param {boolean} passed @param {string} [text] */
export function verdict(passed, text = passed ? 'passed' : 'failed') {
  return element('span', {
    className: passed ? 'good' : 'bad',
    style: text.includes(' ') ? '' : 'white-space: nowrap',
    textContent: `${passed ? '✓' : '✗'} ${text}`,
  });
}

/** A number in three digits. @param {number} x */
export function short(x) {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? 'NaN' : x > 0 ? 'infinite' : '-infinite';
  const size = Math.abs(x);
  if (x === 0) return '0';
  if (size >= 1e5 || size < 1e-3) return x.toExponential(1).replace('e+', 'e');
  return size >= 100
    ? x.toFixed(0)
    : x
        .toPrecision(3)
        .replace(/(\.\d*?)0+$/, '$1')
        .replace(/\.$/, '');
}

/** A float32 with all its digits. @param {number} x */
export function exact(x) {
  return Number.isInteger(x) || !Number.isFinite(x) ? String(x) : String(Number(x.toPrecision(9)));
}

/** A time in the unit that suits it. @param {number} seconds */
export function duration(seconds) {
  if (seconds < 1e-3) return `${short(seconds * 1e6)} µs`;
  return seconds < 1 ? `${short(seconds * 1e3)} ms` : `${short(seconds)} s`;
}

/** Bytes in the unit that suits them. @param {number} bytes */
export function size(bytes) {
  return bytes < 2 ** 20 ? `${Math.ceil(bytes / 2 ** 10)} KiB` : `${short(bytes / 2 ** 20)} MiB`;
}

/** For `JSON.stringify`: JSON has no NaN and no infinity. @param {string} _ @param {unknown} value */
export const plain = (_, value) => (typeof value === 'number' && !Number.isFinite(value) ? String(value) : value);
