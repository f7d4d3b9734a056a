// @ts-check
// From a person's box to the network's input and back: to the bit as src/data/crop.rs and src/data/window.rs, which say why.

/** What a person's box is enlarged by. */
const MARGIN = 1.25;
/** Furthest that a point of a lattice may lie. */
const FAR = 2 ** 29;

/**
 * The upright crop around a person.
 * @param {{x: number, y: number, width: number, height: number}} box in pixels of the picture
 * @param {number[]} input [height, width] of the network's input
 * @param {number[]} heatMap [height, width] of its heat maps
 * @param {{width: number, height: number}} picture
 */
export function cropOf(box, input, heatMap, picture) {
  const [x, y, width, height] = [box.x, box.y, box.width, box.height].map(Math.fround);
  const center = [Math.fround(x + Math.fround(width / 2)), Math.fround(y + Math.fround(height / 2))];
  const scale = [width, height].map(side => (side / 200) * MARGIN),
    aspect = input[1] / input[0];
  const grown = scale[0] > aspect * scale[1] ? [scale[0], scale[0] / aspect] : [scale[1] * aspect, scale[1]];
  // A box that had to be grown is rounded to float32 before the margin is added and after.
  const rounded = (/** @type {number} */ side) =>
    Math.fround(Math.fround(Math.fround(side / MARGIN) * Math.fround(MARGIN)) * 200);
  const isGrown = grown[0] !== scale[0] || grown[1] !== scale[1];
  const size = isGrown ? grown.map(rounded) : scale.map(side => side * 200);
  const toPicture = mapTo(center, size, input),
    fromHeatMap = mapTo(center, size, heatMap);
  const window = windowOf(toPicture, input, picture);
  return {
    /** The pixels that it reads: left, top, width and height in the picture. */
    window,
    /** What the network's input `lattice` holds where `pixels` are those of the window. */
    lattice: latticeOf(toPicture, input, window),
    /** A point of the heat maps in pixels of the picture. @param {ArrayLike<number>} point */
    inPicture: point => apply(fromHeatMap, point[0], point[1]).map(Math.fround),
    /** What the heat maps cover: corner and size in pixels of the picture. */
    area: (([left, top], [right, bottom]) => ({ x: left, y: top, width: right - left, height: bottom - top }))(
      apply(fromHeatMap, -0.5, -0.5),
      apply(fromHeatMap, heatMap[1] - 0.5, heatMap[0] - 0.5),
    ),
  };
}

/** The map from pixels of a target of [height, width] to the picture's: [a, b, c, d, e, f] of (a x + b y + c, d x + e y + f). */
function mapTo(/** @type {number[]} */ [x, y], /** @type {number[]} */ size, /** @type {number[]} */ [height, width]) {
  const half = size[0] * 0.5,
    column = Math.fround(width / 2),
    row = Math.fround(height / 2);
  const inPicture = withThird([Math.fround(x), Math.fround(y)], [Math.fround(x), Math.fround(y - half)]);
  const inTarget = withThird([column, row], [column, Math.fround(row - column)]);
  return inverse(through(inPicture, inTarget));
}

/** Two points and the corner of the right angle over them, at the second. @param {number[]} first @param {number[]} second */
function withThird(first, second) {
  const f = Math.fround;
  return [first, second, [f(second[0] - f(first[1] - second[1])), f(second[1] + f(first[0] - second[0]))]];
}

/** The map that takes three points to three others, by elimination in OpenCV's order. @param {number[][]} from @param {number[][]} to */
function through(from, to) {
  const rows = Array.from({ length: 6 }, () => new Float64Array(7));
  from.forEach(([x, y], point) =>
    [0, 1].forEach(axis => {
      const row = rows[2 * point + axis];
      row.set([x, y, 1], 3 * axis);
      row[6] = to[point][axis];
    }),
  );
  for (let step = 0; step < 6; step++) {
    let largest = step;
    for (let row = step + 1; row < 6; row++) if (Math.abs(rows[row][step]) > Math.abs(rows[largest][step])) largest = row;
    [rows[step], rows[largest]] = [rows[largest], rows[step]];
    for (let row = step + 1; row < 6; row++) {
      const factor = rows[row][step] * (-1 / rows[step][step]);
      for (let column = step + 1; column < 7; column++) rows[row][column] += factor * rows[step][column];
    }
  }
  const solution = new Float64Array(6);
  for (let step = 5; step >= 0; step--) {
    let rest = rows[step][6];
    for (let column = step + 1; column < 6; column++) rest -= rows[step][column] * solution[column];
    solution[step] = rest / rows[step][step];
  }
  return solution;
}

/** The map back. @param {ArrayLike<number>} map */
function inverse(map) {
  const determinant = map[0] * map[4] - map[1] * map[3];
  if (determinant === 0 || !Number.isFinite(determinant)) throw new Error('The box has no width or height.');
  const factor = 1 / determinant,
    a = map[4] * factor,
    b = map[1] * -factor,
    d = map[3] * -factor,
    e = map[0] * factor;
  return [a, b, -a * map[2] - b * map[5], d, e, -d * map[2] - e * map[5]];
}

/** @param {ArrayLike<number>} map @param {number} x @param {number} y */
function apply(map, x, y) {
  return [map[0] * x + map[1] * y + map[2], map[3] * x + map[4] * y + map[5]];
}

/** The pixels that sampling reads. @param {number[]} map @param {number[]} input @param {{width: number, height: number}} picture */
function windowOf(map, [height, width], picture) {
  const corners = [
    [0, 0],
    [width - 1, 0],
    [0, height - 1],
    [width - 1, height - 1],
  ].map(([x, y]) => apply(map, x, y));
  const clamp = (/** @type {number} */ v, /** @type {number} */ low, /** @type {number} */ high) =>
    Math.min(Math.max(v, low), high);
  const range = (/** @type {number} */ axis, /** @type {number} */ length) => {
    const along = corners.map(corner => corner[axis]);
    const first = clamp(Math.floor(Math.min(...along)) - 1, 0, length - 1);
    return [first, clamp(Math.floor(Math.max(...along)) + 2, first, length - 1) - first + 1];
  };
  const [left, columns] = range(0, picture.width),
    [top, rows] = range(1, picture.height);
  return { left, top, width: columns, height: rows };
}

/** In 1024ths of a pixel, half to even. @param {number[]} map @param {number[]} input @param {{left: number, top: number}} window */
function latticeOf([a, b, c, d, e, f], [height, width], { left, top }) {
  const lattice = new Int32Array(2 * (width + height));
  for (let x = 0; x < width; x++) lattice.set([fixed(a * x), fixed(d * x)], 2 * x);
  for (let y = 0; y < height; y++)
    lattice.set([fixed(b * y + c) - 1024 * left, fixed(e * y + f) - 1024 * top], 2 * (width + y));
  return lattice;
}

function fixed(/** @type {number} */ v) {
  const scaled = 1024 * v,
    low = Math.floor(scaled),
    rest = scaled - low;
  const rounded = rest < 0.5 ? low : rest > 0.5 ? low + 1 : low + (low & 1);
  return Math.min(Math.max(rounded, -FAR), FAR);
}
