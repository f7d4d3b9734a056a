// @ts-check
// Pictures and boxes: decoding, the pixels that the network reads, boxes that stay in the picture.

import { Refusal } from './runtime.js';
import { contextOf } from './draw.js';
import { get } from './page.js';

/**
 * @typedef {{x: number, y: number, width: number, height: number}} Box in pixels of the picture
 * @typedef {{left: number, top: number, width: number, height: number}} Window
 */

/** Most pixels of a picture here: what Safari on phones allows a canvas. */
const MOST_PIXELS = 4096 * 4096;
/** Most pixels of its width and of its height, which browsers limit too. */
const MOST_SIDE = 16384;
/** Least side of a box in pixels. */
const LEAST_SIDE = 4;

/** A picture in memory, turned as its file says. */
export class Picture {
  /**
   * @param {number} width @param {number} height @param {number} [shrunk] how much larger what it was made of is
   * @param {{width: number, height: number}} [file] and the size of that, in whole pixels
   */
  constructor(width, height, shrunk = 1, file = { width, height }) {
    this.canvas = document.createElement('canvas');
    this.canvas.width = width;
    this.canvas.height = height;
    this.context = contextOf(this.canvas, { willReadFrequently: true, colorSpace: 'srgb' });
    this.shrunk = shrunk;
    this.file = file;
  }

  get width() { return this.canvas.width; }

  get height() { return this.canvas.height; }

  /** The pixels of a window as the network's input `pixels` takes them: 0xAABBGGRR, row by row, opaque. @param {Window} window */
  pixels({ left, top, width, height }) {
    let data;
    try {
      ({ data } = this.context.getImageData(left, top, width, height, { colorSpace: 'srgb' }));
    } catch {
      throw new Refusal(`This browser does not give the ${width} x ${height} pixels in the box: draw a smaller one.`);
    }
    for (let i = 3; i < data.length; i += 4) data[i] = 255;
    return new Uint32Array(data.buffer, data.byteOffset, data.length / 4);
  }
}

/** What to do about a picture that does not decode: the visitor's, and the bundle's. */
const UNREADABLE = 'it is damaged, too large, or of a format that this browser does not read. '
  + 'Save it as JPEG or PNG, and choose it again.';
const DAMAGED = 'it is damaged. Reload the page, or write the folder again.';

/** A file's picture, or a `Refusal`. @param {Blob} blob @param {string} [name] for messages @param {string} [advice] also */
export async function decode(blob, name = 'The picture', advice = UNREADABLE) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob);
  } catch {
    throw new Refusal(`${name} does not decode: ${advice}`);
  }
  const file = { width: bitmap.width, height: bitmap.height }, sides = [file.width, file.height];
  const shrunk = Math.max(1, Math.sqrt(sides[0] * sides[1] / MOST_PIXELS), Math.max(...sides) / MOST_SIDE);
  const [width, height] = sides.map(side => Math.max(1, Math.floor(side / shrunk)));
  try {
    const picture = new Picture(width, height, shrunk, file);
    picture.context.drawImage(bitmap, 0, 0, file.width / shrunk, file.height / shrunk);
    // Some browsers tell only here that they had no memory for the canvas.
    picture.pixels({ left: 0, top: 0, width: 1, height: 1 });
    return picture;
  } catch {
    const size = `${width} x ${height} pixels`;
    throw new Refusal(`${name} is too large for this browser, even at ${size}: make it smaller, and choose it again.`);
  } finally {
    bitmap.close();
  }
}

/** A picture of the bundle. @param {string} path */
export async function bundledPicture(path) {
  return decode(new Blob([await get(path)]), `The picture '${path}'`, DAMAGED);
}

/** The picture at an address, which may be another server's, or a `Refusal`. @param {string} address */
export async function fetchPicture(address) {
  let file;
  try {
    const response = await fetch(address);
    if (!response.ok) throw new Refusal(`The picture '${address}' could not be fetched: the server answers ${response.status}.`);
    file = await response.blob();
  } catch (error) {
    if (error instanceof Refusal) throw error;
    const advice = 'its server may be gone, or may not let other pages read it. Save it, and choose the file.';
    throw new Refusal(`The picture '${address}' could not be fetched: ${advice}`);
  }
  return decode(file, `The picture '${address}'`);
}

/** The picture in what was dropped or pasted, if there is one. @param {DataTransfer | null} transfer */
export function pictureIn(transfer) {
  const files = [...transfer?.files ?? []];
  return files.find(file => file.type.startsWith('image/')) ?? files[0];
}

/** @param {{width: number, height: number}} picture @returns {Box} */
export function wholeOf({ width, height }) {
  return { x: 0, y: 0, width, height };
}

/**
 * The nearest box that is within the picture.
 * @param {Box} box @param {{width: number, height: number}} picture @returns {Box}
 */
export function within(box, picture) {
  const width = Math.min(picture.width, Math.max(Math.min(LEAST_SIDE, picture.width), box.width));
  const height = Math.min(picture.height, Math.max(Math.min(LEAST_SIDE, picture.height), box.height));
  return {
    x: Math.min(picture.width - width, Math.max(0, box.x)),
    y: Math.min(picture.height - height, Math.max(0, box.y)),
    width, height,
  };
}

/** A box in a picture of other pixels. @param {Box} box @param {number} factor @returns {Box} */
export function scaled({ x, y, width, height }, factor) {
  return { x: x * factor, y: y * factor, width: width * factor, height: height * factor };
}

/** The box of a text 'x,y,width,height', or undefined. @param {string | null} text @returns {Box | undefined} */
export function parseBox(text) {
  const numbers = text?.split(',').map(Number) ?? [];
  if (numbers.length !== 4 || !numbers.every(Number.isFinite) || !(numbers[2] > 0 && numbers[3] > 0)) return undefined;
  const [x, y, width, height] = numbers;
  return { x, y, width, height };
}
