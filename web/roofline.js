// @ts-check
// The roofline (Williams, Waterman and Patterson 2009): each kernel's rate over its operations a byte, below the two ceilings of
// the adapter. The area of a mark is the kernel's share of the time.

/**
 * @typedef {import('./measure.js').Ceiling} Ceiling
 * @typedef {import('./measure.js').KernelTime} KernelTime
 */

const WIDTH = 720,
  HEIGHT = 440,
  LEFT = 62,
  RIGHT = 28,
  TOP = 44,
  BOTTOM = 48;

/** Marks by what the pass begins with: colour (Okabe and Ito 2008) and shape. @type {[string, string, string][]} */
const MARKS = [
  ['forward', '#0072b2', 'circle'],
  ['backward_input', '#d55e00', 'square'],
  ['backward_weight', '#009e73', 'triangle'],
  ['backward', '#cc79a7', 'diamond'],
];
const OTHER = ['other', '#777777', 'circle'];

/**
 * @template {keyof SVGElementTagNameMap} T
 * @param {T} tag @param {Record<string, string | number>} attributes @param {(Node | string)[]} children
 */
function svg(tag, attributes, ...children) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes))
    made.setAttribute(name, typeof value === 'number' ? String(Number(value.toFixed(1))) : value);
  made.append(...children);
  return made;
}

/** @param {string} shape @param {number} x @param {number} y @param {number} radius of the circle of the same area */
function outline(shape, x, y, radius) {
  const side = radius * Math.sqrt(Math.PI),
    half = side / 2,
    tall = side * 1.15,
    diagonal = side / Math.SQRT2;
  switch (shape) {
    case 'square':
      return `M${x - half} ${y - half}h${side}v${side}h${-side}z`;
    case 'triangle':
      return `M${x} ${y - tall * 0.67}l${tall * 0.66} ${tall}h${-tall * 1.32}z`;
    case 'diamond':
      return `M${x} ${y - diagonal}l${diagonal} ${diagonal}l${-diagonal} ${diagonal}l${-diagonal} ${-diagonal}z`;
    default:
      return `M${x - radius} ${y}a${radius} ${radius} 0 1 0 ${2 * radius} 0a${radius} ${radius} 0 1 0 ${-2 * radius} 0z`;
  }
}

/**
 * The kernels under the ceilings. Its text and lines take the page's colour.
 * @param {Ceiling} ceiling @param {KernelTime[]} kernels
 * @returns {SVGSVGElement}
 */
export function roofline(ceiling, kernels) {
  const points = kernels.map(({ gflops, gbps }) => ({
    x: Math.max(gflops / Math.max(gbps, 1e-12), 1e-3),
    y: Math.max(gflops, 1e-3),
  }));
  const ridge = ceiling.gflops / ceiling.gbps;
  const [left, right] = decades([ridge, ...points.map(({ x }) => x)]),
    [low, high] = decades([ceiling.gflops, ...points.map(({ y }) => y)]);
  const across = (/** @type {number} */ value) => LEFT + ((Math.log10(value) - left) / (right - left)) * (WIDTH - LEFT - RIGHT);
  const up = (/** @type {number} */ value) =>
    HEIGHT - BOTTOM - ((Math.log10(value) - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const plot = svg('svg', {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    role: 'img',
    'font-size': 13,
    fill: 'currentColor',
    'aria-label':
      `Roofline: ${kernels.length} kernels, below ${ceiling.gflops.toFixed(0)} thousand million operations and ` +
      `${ceiling.gbps.toFixed(0)} thousand million bytes a second. The table has the numbers.`,
  });
  const line = { stroke: 'currentColor', 'stroke-opacity': '0.2' };
  for (let decade = left; decade <= right; decade++) {
    const at = across(10 ** decade);
    plot.append(
      svg('path', { d: `M${at} ${TOP}V${HEIGHT - BOTTOM}`, ...line }),
      svg('text', { x: at, y: HEIGHT - BOTTOM + 17, 'text-anchor': 'middle' }, power(decade)),
    );
  }
  for (let decade = low; decade <= high; decade++) {
    const at = up(10 ** decade);
    plot.append(
      svg('path', { d: `M${LEFT} ${at}H${WIDTH - RIGHT}`, ...line }),
      svg('text', { x: LEFT - 7, y: at + 4, 'text-anchor': 'end' }, power(decade)),
    );
  }
  // The line of the memory begins where the plot does: at its left or at its bottom.
  const first = Math.max(10 ** left, 10 ** low / ceiling.gbps);
  plot.append(
    svg('path', {
      d: `M${across(first)} ${up(first * ceiling.gbps)}L${across(ridge)} ${up(ceiling.gflops)}H${WIDTH - RIGHT}`,
      fill: 'none',
      stroke: 'currentColor',
      'stroke-width': 2,
    }),
  );
  const total = kernels.reduce((sum, { seconds, count }) => sum + seconds * count, 0);
  for (const [i, kernel] of kernels.entries()) {
    const [, colour, shape] = markOf(kernel.pass),
      radius = 3 + 28 * Math.sqrt((kernel.seconds * kernel.count) / Math.max(total, 1e-12));
    const rate = `${kernel.gflops.toPrecision(3)} GFLOP/s, ${(100 * kernel.share).toFixed(0)} % of the ceiling`;
    const title = `${kernel.operator} ${kernel.pass} ${kernel.case} ${kernel.variant}: ${rate}`;
    plot.append(
      svg(
        'path',
        {
          d: outline(shape, across(points[i].x), up(points[i].y), radius),
          fill: colour,
          'fill-opacity': '0.55',
          stroke: colour,
        },
        svg('title', {}, title),
      ),
    );
  }
  const used = [...MARKS, OTHER].filter(([name]) => kernels.some(({ pass }) => markOf(pass)[0] === name));
  for (const [i, [name, colour, shape]] of used.entries()) {
    const x = LEFT + 10 + 150 * i;
    plot.append(
      svg('path', { d: outline(shape, x, 20, 6), fill: colour, 'fill-opacity': '0.7', stroke: colour }),
      svg('text', { x: x + 12, y: 25 }, name.replace('_', ' ')),
    );
  }
  plot.append(
    svg('text', { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 8, 'text-anchor': 'middle' }, 'operations a byte'),
    svg('text', { transform: `translate(15 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)`, 'text-anchor': 'middle' }, 'GFLOP/s'),
  );
  return plot;
}

/** @param {string} pass */
function markOf(pass) {
  return MARKS.find(([name]) => pass.startsWith(name)) ?? OTHER;
}

/** Powers of ten that enclose the values. @param {number[]} values */
function decades(values) {
  const low = Math.floor(Math.log10(Math.min(...values)));
  return [low, Math.max(Math.ceil(Math.log10(Math.max(...values))), low + 1)];
}

/** A power of ten in digits. @param {number} decade */
function power(decade) {
  return decade < 0 ? (10 ** decade).toFixed(-decade) : (10 ** decade).toLocaleString('en');
}
