// @ts-check
// Skeletons and maps on canvases, in the colours of `ditn predict`.

/** @typedef {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} Context */

/** By the side of the body: blue is the person's left, orange the right, green the middle. */
export const COLOURS = { left: 'rgb(60 150 255)', right: 'rgb(255 120 40)', middle: 'rgb(90 220 110)' };
const OUTLINE = 'rgb(20 20 20 / 80%)';

/** From nothing to 1: dark violet, red, orange, pale yellow, each lighter than the one before. */
const HEAT = [[20, 10, 60], [120, 25, 110], [205, 65, 75], [250, 150, 40], [252, 250, 165]];
/** How much of the picture a map's 1 hides. */
const OPACITY = 0.85;
/** What bone maps are drawn from and to. */
export const UNIT = [0, 1];
/** What attention is drawn from and to: ReLUs in front of the sigmoids leave no other values of 1 + sigmoid. */
export const ATTENTION = [1.5, 2];

/** The side of the body that a joint's name tells. @param {string} joint @returns {keyof typeof COLOURS} */
function sideOf(joint) {
  const side = /(?:^|[\s_.-])(left|right|l|r)(?:$|[\s_.-])/i.exec(joint)?.[1].toLowerCase();
  return side === undefined ? 'middle' : side.startsWith('l') ? 'left' : 'right';
}

/**
 * The colours of joints and of bones, whose side is that of their ends where these do not contradict each other.
 * @param {string[]} joints @param {number[][]} bones
 */
export function coloursOf(joints, bones) {
  const sides = joints.map(sideOf);
  const ofBone = bones.map(bone => {
    const [side = 'middle', another] = new Set(bone.map(joint => sides[joint]).filter(side => side !== 'middle'));
    return another === undefined ? side : 'middle';
  });
  return { joints: sides.map(side => COLOURS[side]), bones: ofBone.map(side => COLOURS[side]) };
}

/**
 * Draws bones and joints. A joint of which the network is less sure than `least` is a ring, and its bones are dashed.
 * @param {Context} context
 * @param {(number[] | Float32Array)[]} joints each [x, y, score] on the canvas; a score that is not above 0 leaves the joint out
 * @param {number[][]} bones pairs of joints
 * @param {{joints: string[], bones: string[]} | string} colours of each, or one for all
 * @param {{width: number, least?: number, names?: string[], outline?: boolean}} options `width` of a bone; names are written
 *   beside their joints
 */
export function drawSkeleton(context, joints, bones, colours, { width, least = 0, names, outline = true }) {
  const isThere = (/** @type {number} */ joint) => joints[joint][2] > 0 && Number.isFinite(joints[joint][0] + joints[joint][1]);
  const isSure = (/** @type {number} */ joint) => joints[joint][2] >= least;
  const drawn = bones.map((bone, number) => ({ bone, number })).filter(({ bone }) => bone.every(isThere));
  context.save();
  context.lineCap = 'round';
  for (const isOutline of outline ? [true, false] : [false]) {
    for (const { bone, number } of drawn) {
      context.strokeStyle = isOutline ? OUTLINE : typeof colours === 'string' ? colours : colours.bones[number];
      context.lineWidth = width + (isOutline ? 1.5 : 0);
      context.setLineDash(bone.every(isSure) ? [] : [width, 2 * width]);
      context.beginPath();
      for (const joint of bone) context.lineTo(joints[joint][0], joints[joint][1]);
      context.stroke();
    }
  }
  context.setLineDash([]);
  joints.forEach(([x, y], joint) => {
    if (!isThere(joint)) return;
    const colour = typeof colours === 'string' ? colours : colours.joints[joint];
    context.beginPath();
    context.arc(x, y, 0.9 * width + 0.8, 0, 2 * Math.PI);
    if (isSure(joint)) {
      context.fillStyle = colour;
      context.fill();
      if (outline) stroke(context, OUTLINE, 0.8);
    } else {
      if (outline) stroke(context, OUTLINE, 0.6 * width + 1.5);
      stroke(context, colour, 0.6 * width);
    }
  });
  if (names) {
    const size = Math.max(11, 2.2 * width);
    context.font = `600 ${size}px system-ui, sans-serif`;
    context.lineJoin = 'round';
    context.textBaseline = 'middle';
    joints.forEach(([x, y], joint) => {
      if (!isThere(joint)) return;
      const right = x + 2 * width + context.measureText(names[joint]).width < context.canvas.width;
      context.textAlign = right ? 'left' : 'right';
      const at = x + (right ? 2 : -2) * width;
      context.strokeStyle = OUTLINE;
      context.lineWidth = size / 4;
      context.strokeText(names[joint], at, y);
      context.fillStyle = 'white';
      context.fillText(names[joint], at, y);
    });
  }
  context.restore();
}

/** @param {Context} context @param {string} colour @param {number} width */
function stroke(context, colour, width) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke();
}

/** One canvas for all maps: [width, height] is its own. */
let scratch = new OffscreenCanvas(1, 1);

/**
 * Lays a map over a picture: the warmer, the less it lets through.
 * @param {Context} context @param {{x: number, y: number, width: number, height: number}} place on the canvas
 * @param {ArrayLike<number>} map row by row @param {number[]} size [height, width] of the map
 * @param {number[]} range of its values
 */
export function drawHeat(context, place, map, [height, width], [low, high]) {
  if (scratch.width !== width || scratch.height !== height) scratch = new OffscreenCanvas(width, height);
  const pixels = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    const heat = Math.min(1, Math.max(0, (map[i] - low) / (high - low))) || 0, at = heat * (HEAT.length - 1);
    const step = Math.min(HEAT.length - 2, Math.floor(at)), share = at - step;
    for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = HEAT[step][c] + share * (HEAT[step + 1][c] - HEAT[step][c]);
    pixels.data[4 * i + 3] = 255 * OPACITY * Math.sqrt(heat);
  }
  scratch.getContext('2d')?.putImageData(pixels, 0, 0);
  context.drawImage(scratch, place.x, place.y, place.width, place.height);
}

/** The softmax of a map of logits over its own maximum. @param {Float32Array} map */
export function softmax(map) {
  const largest = map.reduce((a, b) => Math.max(a, b));
  return map.map(value => Math.exp(value - largest));
}

/** The greatest of all maps at each pixel. @param {ArrayLike<number>[]} maps */
export function strongest(maps) {
  const greatest = Float32Array.from(maps[0] ?? []);
  for (const map of maps) for (let i = 0; i < greatest.length; i++) greatest[i] = Math.max(greatest[i], map[i]);
  return greatest;
}

/**
 * Gives a canvas as many pixels as the screen shows, and clears it; `scale` is pixels a CSS pixel.
 * @param {HTMLCanvasElement} canvas
 */
export function sharp(canvas) {
  const scale = Math.min(3, globalThis.devicePixelRatio || 1);
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map(side => Math.max(1, Math.round(side * scale)));
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = contextOf(canvas);
  context.clearRect(0, 0, width, height);
  return { context, width, height, scale };
}

/** @param {HTMLCanvasElement} canvas @param {CanvasRenderingContext2DSettings} [settings] */
export function contextOf(canvas, settings) {
  const context = canvas.getContext('2d', settings);
  if (!context) throw new Error('The browser gives no more canvases.');
  return context;
}
