// @ts-check
// What the pages share: header, messages, files of the bundle, the device, results for automation. A page's HTML is
//   <header><p class="unserved">...</p></header> <main>...</main> <script type="module" src="NAME.js"></script>
// and may place the elements #adapter, #status, #progress and #refusal itself; `page` adds those that are missing under the first
// heading and the paragraph that follows it.

import { FORMAT, Refusal, Session, adapterName, findAdapter, isSoftware, openDevice } from './runtime.js';
import { parseTensors } from './tensors.js';

/**
 * @typedef {import('./runtime.js').Plan} Plan
 * @typedef {import('./tensors.js').Tensor} Tensor
 * @typedef {{name: string, description: string, size: number[], heat_map: number[], parameters: number, flip_test: boolean,
 *   decode: string | {'second-maximum': number}, heat_range: number[], joints: string[], bones: number[][]}} Network
 * @typedef {{constant?: number, normal?: number, uniform?: number}} Initial
 * @typedef {{plans: Record<string, string[]>, loss: string, batch: number, size: number[], heat_map: number[], joints: string[],
 *   bones: number[][], optimizer: {beta1: number, beta2: number, eps: number, weight_decay: number}, learning_rate: number,
 *   warm_up: number, seeds: {input: string, value: number}[], initial: Record<string, Initial>,
 *   people: {sheet: string, columns: number, count: number, joints: number[][][]}, vectors: string,
 *   after: Record<string, number>}} Training
 * @typedef {{format: number, ditn: string, id: string, network: Network,
 *   inference: {plans: string[], weights: {file: string, bytes: number, dtype: string}, vectors: string},
 *   training: Training, kernels: string, benchmark: string}} Bundle
 */

/** The pages by name, in the order of the navigation: file and title. */
const PAGES = {
  pose: ['index.html', 'Pose'],
  train: ['train.html', 'Train'],
  kernels: ['kernels.html', 'Kernels'],
  benchmark: ['benchmark.html', 'Benchmark'],
  verify: ['verify.html', 'Verify'],
};

/** Whether `refuse` has spoken: the first message stays. */
let isRefused = false;
/** Whether a device is open, whose loss may be the reason of what fails. */
let isOpen = false;
/** Milliseconds in which a lost device tells so. */
const LOSS_IS_TOLD_IN = 300;
/** Least milliseconds from one text of progress to the next: screen readers read each. */
const PACE = 1000;
/** Seconds without a byte of any file after which a download has broken off. */
const PATIENCE = 30;

/**
 * Fills the header, adds the elements for messages and catches what nobody else does. Called first by each page.
 * @param {keyof typeof PAGES} name
 */
export function page(name) {
  addEventListener('error', event => refuse(event.error ?? event.message));
  addEventListener('unhandledrejection', event => refuse(event.reason));
  const items = Object.entries(PAGES).map(([other, [file, title]]) => {
    const link = element('a', { href: file, textContent: title });
    if (other === name) link.setAttribute('aria-current', 'page');
    return element('li', {}, link);
  });
  const nav = element('nav', { ariaLabel: 'Pages' }, element('ul', {}, ...items));
  const header = document.querySelector('header') ?? document.body.insertBefore(element('header'), document.body.firstChild);
  header.replaceChildren(element('a', { href: 'index.html', className: 'brand', textContent: 'ditn' }), nav);
  const strip = element('div', { className: 'strip' });
  const missing = (/** @type {string} */ id) => document.getElementById(id) === null;
  if (missing('refusal')) strip.append(element('p', { id: 'refusal', role: 'alert', hidden: true }));
  if (missing('adapter')) strip.append(element('p', { id: 'adapter' }));
  if (missing('progress')) strip.append(element('progress', { id: 'progress', hidden: true, ariaLabel: 'Progress' }));
  if (missing('status')) strip.append(element('p', { id: 'status', role: 'status' }));
  const title = document.querySelector('main h1'), lead = title?.nextElementSibling;
  if (title) (lead instanceof HTMLParagraphElement ? lead : title).after(strip);
  else header.after(strip);
}

/**
 * An element with properties and children.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {Record<string, any>} [properties] of the element; `data` sets data attributes
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function element(tag, { data = {}, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  Object.assign(made.dataset, data);
  made.append(...children);
  return made;
}

/**
 * The element with an id, which must be of this class.
 * @template {HTMLElement} T
 * @param {string} id @param {new () => T} kind such as HTMLButtonElement
 * @returns {T}
 */
export function byId(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`The page has no ${kind.name} '${id}'.`);
  return found;
}

/** The page's parameters in its address. */
export const parameters = new URLSearchParams(globalThis.location?.search ?? '');

/**
 * Remembers where the focus is, which some browsers take from a control that is disabled or hidden. What comes back returns it
 * there, unless another element has it by then.
 */
export function holdFocus() {
  const focused = document.activeElement;
  return () => {
    const { activeElement, body } = document;
    if (focused instanceof HTMLElement && (activeElement ?? body) === body) focused.focus({ preventScroll: true });
  };
}

/** The newest text of `status`, and when one was shown. */
let wanted = '', shownAt = -Infinity;
/** Shows the newest text once it is time. @type {ReturnType<typeof setTimeout> | undefined} */
let later;

/**
 * Says what is being done, or what came of it. Of texts of progress that follow each other quickly some are left out, but never
 * the last one.
 * @param {string} text
 * @param {number} [fraction] how much is done, from 0 to 1, or NaN where nobody knows: shown as a bar while it is given
 */
export function status(text, fraction) {
  if (isRefused) return;
  wanted = text;
  const rest = shownAt + PACE - performance.now();
  if (fraction === undefined || rest <= 0) showStatus();
  else later ??= setTimeout(showStatus, rest);
  const bar = document.getElementById('progress');
  if (!(bar instanceof HTMLProgressElement)) return;
  bar.hidden = fraction === undefined;
  if (fraction === undefined || Number.isNaN(fraction)) bar.removeAttribute('value');
  else bar.value = fraction;
}

function showStatus() {
  clearTimeout(later);
  later = undefined;
  const line = document.getElementById('status');
  if (!line || line.textContent === wanted) return;
  line.textContent = wanted;
  shownAt = performance.now();
}

/** Shows why the page cannot go on, and ends progress. @param {unknown} error */
export function refuse(error) {
  if (error instanceof Refusal) return speak(error.message);
  console.error(error);
  const message = error instanceof Error ? error.message : String(error);
  setTimeout(() => speak(`This is a fault of the page: ${message}`), isOpen ? LOSS_IS_TOLD_IN : 0);
}

/** @param {string} text */
function speak(text) {
  if (isRefused) return;
  status('');
  complain(text);
  isRefused = true;
  document.documentElement.dataset.state = 'refused';
  result({ error: text });
}

/** Shows a message that the page survives, such as one about a picture, until the next or ''. @param {string} text */
export function complain(text) {
  const place = document.getElementById('refusal');
  if (!place || isRefused) return;
  place.textContent = text;
  place.hidden = text === '';
}

/**
 * Hands a result to whoever drives the page: as JSON in `data-result` of the document's element, and posted to the address
 * that the parameter `report` names on the same server.
 * @param {unknown} value
 */
export function result(value) {
  const text = JSON.stringify(value), report = parameters.get('report');
  document.documentElement.dataset.result = text;
  if (report === null) return;
  const address = new URL(report, location.href);
  if (address.origin !== location.origin) return;
  fetch(address, { method: 'POST', body: text, headers: { 'Content-Type': 'application/json' } })
    .catch(error => console.warn('The result was not taken:', error));
}

/** What the files of the bundle are asked for with, so that no cache gives those of another one. */
let version = '';

/** `bundle.json`. @returns {Promise<Bundle>} */
export async function getBundle() {
  /** @type {Bundle} */
  let bundle;
  try {
    bundle = await getJson('bundle.json');
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const advice = "These pages need the folder that 'ditn web DIR' writes, served by a web server:";
    throw new Refusal(`${error.message} ${advice} 'ditn web --serve' does it here.`);
  }
  if (bundle.format !== FORMAT) {
    const both = `This bundle has format ${bundle.format}, and these pages read format ${FORMAT}`;
    throw new Refusal(`${both}: write the folder again with one version of ditn.`);
  }
  version = bundle.id ? `?v=${bundle.id}` : '';
  return bundle;
}

/** Pieces of files that have come, of all downloads: one may have to wait for another. */
let arrivals = 0;

/** A signal of `PATIENCE` seconds without a piece. They are counted one by one, as a computer may sleep. */
function broken() {
  const control = new AbortController();
  let last = arrivals, quiet = 0;
  const timer = setInterval(() => {
    quiet = last === arrivals ? quiet + 1 : 0;
    last = arrivals;
    if (quiet >= PATIENCE) control.abort();
  }, 1000);
  return { signal: control.signal, end: () => clearInterval(timer) };
}

/**
 * A file of the bundle, whole.
 * @param {string} path @param {(bytes: number, total: number | undefined) => void} [onProgress]
 * @returns {Promise<ArrayBuffer>}
 */
export async function get(path, onProgress) {
  const { signal, end } = broken();
  try {
    return await receive(path, signal, onProgress);
  } finally {
    end();
  }
}

/**
 * @param {string} path @param {AbortSignal} signal that it has broken off
 * @param {((bytes: number, total: number | undefined) => void) | undefined} onProgress
 */
async function receive(path, signal, onProgress) {
  const unfinished = (/** @type {number} */ bytes, /** @type {number | undefined} */ total) => new Refusal(
    `The download of '${path}' is unfinished: ${bytes} ${total === undefined ? '' : `of ${total} `}bytes came. Reload the page.`);
  let response;
  try {
    const isContents = path === 'bundle.json';
    response = await fetch(isContents ? path : path + version, { signal, cache: isContents ? 'no-cache' : 'default' });
  } catch {
    if (signal.aborted) throw unfinished(0, undefined);
    throw new Refusal(`The file '${path}' could not be fetched: is the server still there? Then reload the page.`);
  }
  arrivals += 1;
  if (!response.ok) {
    const answer = `${response.status} ${response.statusText}`.trim();
    throw new Refusal(`The file '${path}' could not be fetched: the server answers ${answer}.`);
  }
  const isEncoded = (response.headers.get('Content-Encoding') ?? 'identity') !== 'identity';
  const length = response.headers.get('Content-Length'), total = isEncoded || length === null ? undefined : Number(length);
  const parts = [];
  let bytes = 0;
  onProgress?.(0, total);
  try {
    const reader = response.body?.getReader();
    for (let part; reader && !(part = await reader.read()).done;) {
      parts.push(part.value);
      arrivals += 1;
      onProgress?.(bytes += part.value.length, total);
    }
  } catch {
    throw unfinished(bytes, total);
  }
  bytes = parts.reduce((sum, part) => sum + part.length, 0);
  if (total !== undefined && bytes < total) throw unfinished(bytes, total);
  const whole = new Uint8Array(bytes);
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return whole.buffer;
}

/** A file's JSON. @param {string} path @returns {Promise<any>} */
export async function getJson(path) {
  const text = new TextDecoder().decode(await get(path));
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal(`The file '${path}' is not the JSON that it should be: write the folder again, or reload the page.`);
  }
}

/**
 * A file's tensors, by name.
 * @param {string} path @param {(bytes: number, total: number | undefined) => void} [onProgress]
 * @returns {Promise<Map<string, Tensor>>}
 */
export async function getTensors(path, onProgress) {
  const file = await get(path, onProgress);
  try {
    return parseTensors(file);
  } catch (error) {
    const why = error instanceof Error ? error.message : error;
    throw new Refusal(`The file '${path}' cannot be read. ${why} Write the folder again.`);
  }
}

/** @type {Map<string, Promise<string>>} */
const shaders = new Map();

/** A kernel's WGSL, fetched once. @param {string} kernel such as 'conv2d/gemm' @returns {Promise<string>} */
export function shader(kernel) {
  let source = shaders.get(kernel);
  if (!source) {
    source = get(`shaders/${kernel}.wgsl`).then(file => new TextDecoder().decode(file));
    shaders.set(kernel, source);
    source.catch(() => shaders.delete(kernel));
  }
  return source;
}

/**
 * A device for the first of the plans that this GPU takes; the GPU's name goes to the element #adapter. A device that is lost
 * ends the page, and so does an error that nobody caught: what the GPU computes from then on may be wrong.
 * @template {Plan} P
 * @param {P[]} plans
 * @param {{onLost?: (reason: string) => void}} [options] `onLost` hears of it before the page refuses
 */
export async function open(plans, { onLost } = {}) {
  const adapter = await findAdapter();
  const name = adapterName(adapter), software = isSoftware(adapter);
  const place = document.getElementById('adapter');
  if (place) {
    place.replaceChildren(`GPU: ${name}`);
    if (software) {
      place.append(' ', element('strong', { className: 'warning', textContent: 'Runs on the CPU: slow.' }),
        ' The browser gave no real GPU: its driver may be missing or blocked, or hardware acceleration is off in the settings.');
    }
  }
  let opened;
  try {
    opened = await openDevice(adapter, plans, {
      onLost: reason => {
        onLost?.(reason);
        refuse(new Refusal(reason));
      },
      onError: message => {
        refuse(new Refusal(`The GPU reported an error: ${message.trim().replace(/\.$/, '')}. Reload the page.`));
      },
    });
  } catch (error) {
    if (error instanceof Refusal) throw error;
    const why = error instanceof Error ? error.message : error;
    throw new Refusal(`The GPU did not open: ${why} Close other pages that use it, or restart the browser.`);
  }
  isOpen = true;
  return { adapter, name, software, ...opened };
}

/**
 * A session of the first of the plans that compiles: what a driver makes of subgroups may fail where its features promise them.
 * @param {GPUDevice} device @param {Plan[]} plans
 * @param {{tensors?: Map<string, Tensor>, complete?: boolean, onProgress?: (done: number, all: number) => void}} [options] as of
 *   `Session.open`
 */
export async function openSession(device, plans, options) {
  for (const [number, plan] of plans.entries()) {
    try {
      return await Session.open(device, plan, { shader, ...options });
    } catch (error) {
      if (error instanceof Refusal || number + 1 === plans.length) throw error;
      console.warn(`The plan '${plan.name}' for ${plan.target} does not open:`, error);
    }
  }
  throw new Error('There is no plan to open.');
}

/**
 * A labelled field for the GPU's name as its owner knows it, which browsers often do not tell. The next visit finds it again.
 * @returns {{readonly value: string, element: HTMLElement}}
 */
export function gpuName() {
  const key = 'ditn GPU';
  const field = element('input', { type: 'text', maxLength: 100, autocomplete: 'off', placeholder: 'such as GeForce RTX 4070' });
  try {
    field.value = localStorage.getItem(key) ?? '';
  } catch { /* Some browsers keep no storage for some pages. */ }
  field.addEventListener('change', () => {
    try {
      localStorage.setItem(key, field.value.trim());
    } catch { /* as above */ }
  });
  return {
    get value() { return field.value.trim(); },
    element: element('label', { className: 'field' }, element('span', { textContent: 'GPU\u2019s name' }), field),
  };
}

/** Offers a text as a file. @param {string} name @param {string} text @param {string} [type] */
export function download(name, text, type = 'application/json') {
  const href = URL.createObjectURL(new Blob([text], { type }));
  const link = element('a', { href, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(href), 1e4);
}
