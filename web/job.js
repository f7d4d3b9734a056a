// @ts-check
// Long work of a page: one at a time, with progress, a button that stops it, and pauses while the tab is hidden.

import { complain, refuse, status } from './page.js';
import { ShaderError } from './runtime.js';
import { size } from './table.js';

/** Thrown in work that its visitor stops. */
class Stopped extends Error {}

/** Seconds between two texts of the status, so that a screen reader can follow. */
const PACE = 1;

/** What is said where the GPU does not end what it was given: nothing takes that back. */
const BUSY = 'Stopping, but the GPU still works on what it was given. If that does not end, reload the page.';

/**
 * What says in the status how far a download is: for `getTensors`.
 * @param {string} what @returns {(bytes: number, total: number | undefined) => void}
 */
export function fetching(what) {
  return (bytes, total) => {
    const words = total === undefined ? size(bytes) : `${size(bytes)} of ${size(total)}`;
    status(`Fetching ${what}: ${words}.`, total === undefined ? NaN : bytes / total);
  };
}

export class Jobs {
  /**
   * @param {HTMLButtonElement} stop shown while work goes on
   * @param {() => (HTMLButtonElement | HTMLInputElement | HTMLSelectElement)[]} starters what is disabled meanwhile
   */
  constructor(stop, starters) {
    this.stop = stop;
    this.starters = starters;
    this.isRunning = false;
    this.isStopped = false;
    this.said = -Infinity;
    stop.hidden = true;
    stop.addEventListener('click', () => {
      this.isStopped = true;
      status('Stopping.', NaN);
      setTimeout(() => {
        if (this.isRunning && this.isStopped) status(BUSY, NaN);
      }, 3000);
    });
  }

  /**
   * Does `work`, unless other work goes on. What it throws is shown and ends the page, but for its visitor's stop and for kernels
   * that do not compile.
   * @param {(turn: (text: string, fraction: number) => Promise<void>) => Promise<string>} work awaits `turn` before each piece;
   *   its result is the last status
   * @returns {Promise<boolean>} whether it came to its end
   */
  async run(work) {
    if (this.isRunning) return false;
    const focused = document.activeElement;
    this.isRunning = true;
    this.isStopped = false;
    this.said = -Infinity;
    complain('');
    const disabled = this.starters().filter(it => !it.disabled);
    disabled.forEach(it => {
      it.disabled = true;
    });
    this.stop.hidden = false;
    try {
      status(await work((text, fraction) => this.turn(text, fraction)));
      return true;
    } catch (error) {
      if (error instanceof Stopped) status('Stopped.');
      else if (error instanceof ShaderError) {
        status('');
        complain(error.message);
      } else refuse(error);
      return false;
    } finally {
      this.isRunning = false;
      // Browsers take the focus from what is disabled or hidden.
      const { activeElement } = document,
        isLeft = activeElement === null || activeElement === document.body || activeElement === this.stop;
      this.stop.hidden = true;
      if (document.documentElement.dataset.state !== 'refused')
        disabled.forEach(it => {
          it.disabled = false;
        });
      if (isLeft && focused instanceof HTMLElement) focused.focus({ preventScroll: true });
    }
  }

  /** @param {string} text @param {number} fraction */
  async turn(text, fraction) {
    while (document.hidden) {
      status('Paused while this tab is in the background.', fraction);
      await new Promise(resolve => document.addEventListener('visibilitychange', resolve, { once: true }));
      this.said = -Infinity;
    }
    if (this.isStopped) throw new Stopped();
    const now = performance.now() / 1e3;
    if (now - this.said >= PACE) this.said = now;
    else text = document.getElementById('status')?.textContent ?? text;
    status(text, fraction);
    // Lets the page draw and hear its buttons.
    await new Promise(resolve => setTimeout(resolve));
  }
}
