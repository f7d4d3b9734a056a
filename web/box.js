// @ts-check
// A box over a picture, moved and resized by pointer, by keyboard and by numbers.

import { byId, element } from './page.js';
import { within, wholeOf } from './picture.js';

/** @typedef {import('./picture.js').Box} Box */

/** Handles: which edges each takes along, as [-1, 0 or 1 across, -1, 0 or 1 down]. */
const HANDLES = [[-1, -1], [0, -1], [1, -1], [1, 0], [1, 1], [0, 1], [-1, 1], [-1, 0]];
/** Whether the screen is touched, which takes larger handles. */
const isTouched = matchMedia('(pointer: coarse)');
/** Pixels of the screen in which a handle is hit: by a mouse, by a finger. */
const TARGETS = [26, 40];
/** So many times that is the side of a box below which it has handles at its corners alone. */
const SMALL = 2.5;
/** What a new picture's box leaves at each side of a picture that is touched, as a share. */
const INSET = 0.08;
/** @type {Record<string, number[] | undefined>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
/** By arrow keys, as a share of the picture's longer side. */
const STEP = 0.01;

/**
 * Where the box of a new picture begins: around all of it, or on a screen that is touched around a little less, which can be
 * moved at once.
 * @param {{width: number, height: number}} picture @returns {Box}
 */
export function firstBox(picture) {
  if (!isTouched.matches) return wholeOf(picture);
  const { width, height } = picture, rest = 1 - 2 * INSET;
  return { x: INSET * width, y: INSET * height, width: rest * width, height: rest * height };
}

/** The box. It stays in the picture, unless it was set beyond. */
export class BoxEditor {
  /**
   * @param {HTMLElement} stage what the picture fills
   * @param {string[]} fields ids of the inputs of left, top, width and height
   * @param {(box: Box) => void} onChange hears of each change by hand
   */
  constructor(stage, fields, onChange) {
    this.stage = stage;
    this.onChange = onChange;
    this.picture = { width: 1, height: 1 };
    /** Whether a pointer draws the box: another one meanwhile does nothing. */
    this.isDragged = false;
    /** @type {Box} */ this.box = wholeOf(this.picture);
    this.frame = element('div', { className: 'box', tabIndex: 0, role: 'group', ariaLabel: 'Box around the person' },
      ...HANDLES.map(([x, y]) => element('span', { className: 'handle', data: { x, y } })));
    this.frame.setAttribute('aria-describedby', 'box-help');
    stage.append(this.frame);
    this.fields = fields.map(id => byId(id, HTMLInputElement));
    for (const field of this.fields) field.addEventListener('change', () => this.#byNumbers());
    this.frame.addEventListener('keydown', event => this.#byKey(event));
    stage.addEventListener('pointerdown', event => this.#byPointer(event));
  }

  /** @param {Box} box @param {{width: number, height: number}} [picture] where it is another */
  set(box, picture = this.picture) {
    this.picture = picture;
    this.box = box;
    const share = (/** @type {number} */ part, /** @type {number} */ all) => `${100 * part / all}%`;
    const { x, y, width, height } = box, { style } = this.frame;
    style.left = share(x, picture.width);
    style.top = share(y, picture.height);
    style.width = share(width, picture.width);
    style.height = share(height, picture.height);
    this.frame.classList.toggle('whole', width >= 0.98 * picture.width && height >= 0.98 * picture.height);
    const across = this.stage.clientWidth / picture.width, down = this.stage.clientHeight / picture.height;
    const target = TARGETS[Number(isTouched.matches)];
    style.setProperty('--target', `${target}px`);
    this.frame.classList.toggle('small', Math.min(width * across, height * down) < SMALL * target);
    // Handles of edges beside the picture's lie within: the picture hides what is beyond.
    const toEdges = {
      left: x * across, right: (picture.width - x - width) * across, top: y * down, bottom: (picture.height - y - height) * down,
    };
    for (const [edge, pixels] of Object.entries(toEdges)) this.frame.classList.toggle(`at-${edge}`, pixels < target / 2);
    [x, y, width, height].forEach((value, i) => { this.fields[i].value = String(Math.round(10 * value) / 10); });
  }

  /** @param {Box} box */
  #change(box) {
    this.set(within(box, this.picture));
    this.onChange(this.box);
  }

  #byNumbers() {
    const [x, y, width, height] = this.fields.map(field => field.valueAsNumber);
    if ([x, y, width, height].every(Number.isFinite)) this.#change({ x, y, width, height });
    else this.set(this.box);
  }

  /** Arrows move; with Shift they resize by the right and the lower edge. @param {KeyboardEvent} event */
  #byKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { x, y, width, height } = this.box, step = Math.max(1, STEP * Math.max(this.picture.width, this.picture.height));
    const arrow = ARROWS[event.key], [across, down] = (arrow ?? [0, 0]).map(direction => direction * step);
    if (arrow && event.shiftKey) this.#change({ x, y, width: width + across, height: height + down });
    else if (arrow) this.#change({ x: x + across, y: y + down, width, height });
    else if (event.key === '+' || event.key === '-') {
      const more = (event.key === '+' ? 2 : -2) * step;
      this.#change({ x: x - more / 2, y: y - more / 2, width: width + more, height: height + more });
    } else return;
    event.preventDefault();
  }

  /** @param {PointerEvent} event */
  #byPointer(event) {
    const { target } = event;
    if (this.isDragged || event.button !== 0 || !(target instanceof HTMLElement)) return;
    const handle = target.classList.contains('handle') ? [Number(target.dataset.x), Number(target.dataset.y)] : undefined;
    const isWhole = this.frame.classList.contains('whole'), moves = target === this.frame && !isWhole;
    // A touch beside the box scrolls the page.
    if (!handle && !moves && event.pointerType === 'touch') return;
    event.preventDefault();
    this.frame.focus({ preventScroll: true });
    const { stage, box } = this, from = this.#place(event), { pointerId } = event, over = new AbortController();
    /**
     * @param {'pointermove' | 'pointerup' | 'pointercancel' | 'lostpointercapture'} type
     * @param {(event: PointerEvent) => void} action
     */
    const on = (type, action) => stage.addEventListener(type, event => {
      if (event.pointerId === pointerId) action(event);
    }, { signal: over.signal });
    const end = () => {
      this.isDragged = false;
      over.abort();
    };
    stage.setPointerCapture(pointerId);
    this.isDragged = true;
    on('pointermove', event => {
      const [x, y] = this.#place(event), across = x - from[0], down = y - from[1];
      if (handle) this.#change(resized(box, handle, across, down));
      else if (moves) this.#change({ ...box, x: box.x + across, y: box.y + down });
      else if (Math.hypot(across, down) > 0.02 * Math.hypot(this.picture.width, this.picture.height)) {
        this.#change(resized({ x: from[0], y: from[1], width: 0, height: 0 }, [1, 1], across, down));
      }
    });
    on('pointerup', end);
    // A handle loses a touch to the stage.
    on('lostpointercapture', event => { if (event.target === stage) end(); });
    on('pointercancel', () => {
      this.#change(box);
      end();
    });
  }

  /** Where a pointer is, in pixels of the picture and within it. @param {PointerEvent} event */
  #place({ clientX, clientY }) {
    const { left, top, width, height } = this.stage.getBoundingClientRect();
    const clamp = (/** @type {number} */ share) => Math.min(1, Math.max(0, share));
    return [clamp((clientX - left) / width) * this.picture.width, clamp((clientY - top) / height) * this.picture.height];
  }
}

/**
 * A box with some edges moved, which may change places.
 * @param {Box} box @param {number[]} edges as in `HANDLES` @param {number} across @param {number} down
 */
function resized({ x, y, width, height }, edges, across, down) {
  const columns = [x + (edges[0] < 0 ? across : 0), x + width + (edges[0] > 0 ? across : 0)].sort((a, b) => a - b);
  const rows = [y + (edges[1] < 0 ? down : 0), y + height + (edges[1] > 0 ? down : 0)].sort((a, b) => a - b);
  return { x: columns[0], y: rows[0], width: columns[1] - columns[0], height: rows[1] - rows[0] };
}
