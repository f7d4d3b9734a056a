// @ts-check
// Rows of small maps over the crop that they are of, one of which can be laid over the picture.

import { contextOf, drawHeat, strongest } from './draw.js';
import { element } from './page.js';

/** Pixels of a small map's side. */
const SIDE = 128;

/** Maps of one kind: a button each, and in front all of them together. */
export class Maps {
  /**
   * @param {HTMLElement} place @param {string[]} names @param {{what: string, all: string, range: number[], aspect: number}} options
   *   `what` a map is, for readers of the screen; the name of all together; what it is drawn from and to; width over height
   * @param {(maps: Maps) => void} onChoice hears that `chosen` has changed
   */
  constructor(place, names, { what, all, range, aspect }, onChoice) {
    this.place = place;
    this.range = range;
    /** @type {Float32Array[]} */ this.maps = [];
    /** The number of the map that is pressed, or -1. */
    this.chosen = -1;
    this.cells = [all, ...names].map((name, number) => {
      const width = Math.round(SIDE * Math.min(1, aspect)), height = Math.round(SIDE / Math.max(1, aspect));
      const canvas = element('canvas', { width, height });
      canvas.setAttribute('aria-hidden', 'true');
      const value = element('span', { className: 'value' });
      const kind = element('span', { className: 'visually-hidden', textContent: `${what}: ` });
      const button = element('button', { type: 'button', className: 'map', ariaPressed: 'false' }, canvas,
        element('span', { className: 'name' }, kind, name), value);
      button.addEventListener('click', () => {
        this.choose(this.chosen === number ? -1 : number);
        onChoice(this);
      });
      return { canvas, value, button, context: contextOf(canvas) };
    });
    place.replaceChildren(...this.cells.map(({ button }) => button));
  }

  /** @param {number} number of a map, or -1 */
  choose(number) {
    this.chosen = number;
    this.cells.forEach(({ button }, i) => button.setAttribute('aria-pressed', String(i === number)));
  }

  /**
   * @param {CanvasImageSource} picture @param {import('./picture.js').Box} area of the picture that the maps cover
   * @param {Float32Array[]} maps @param {number[]} size [height, width] of each @param {string[]} captions
   */
  draw(picture, area, maps, size, captions) {
    this.maps = [strongest(maps), ...maps];
    this.cells.forEach(({ canvas, value, context }, number) => {
      const { width, height } = canvas;
      context.fillStyle = 'black';
      context.fillRect(0, 0, width, height);
      context.drawImage(picture, area.x + 0.5, area.y + 0.5, area.width, area.height, 0, 0, width, height);
      context.fillStyle = 'rgb(20 16 30 / 35%)';
      context.fillRect(0, 0, width, height);
      drawHeat(context, { x: 0, y: 0, width, height }, this.maps[number], size, this.range);
      const peak = () => this.maps[0].reduce((a, b) => Math.max(a, b), 0).toFixed(2);
      value.textContent = number === 0 ? `to ${peak()}` : captions[number - 1];
    });
  }
}
