// @ts-check
// The page of the benchmark.

import { Jobs } from './job.js';
import { measure } from './measure.js';
import {
  byId,
  download,
  element,
  getBundle,
  getJson,
  gpuName,
  open,
  page,
  parameters,
  refuse,
  result,
  shader,
  status,
} from './page.js';
import { roofline } from './roofline.js';
import { adapterName } from './runtime.js';
import { duration, short, size, table } from './table.js';

/**
 * @typedef {import('./measure.js').Benchmark} Benchmark
 * @typedef {import('./measure.js').Report} Report
 * @typedef {import('./measure.js').LeftOut} LeftOut
 * @typedef {import('./runtime.js').Plan} Plan
 */

page('benchmark');

const [startButton, saveButton, stopButton] = ['start', 'save', 'stop'].map(id => byId(id, HTMLButtonElement));
const name = gpuName();
byId('name', HTMLElement).append(name.element);

/** @type {Benchmark} */ let benchmark;
/** Boxes by network. @type {HTMLInputElement[]} */ let boxes = [];
/** The box of the kernels that take much memory. */
const largeBox = element('input', { type: 'checkbox' });
/** @type {Report | undefined} */ let report;
/** @type {Map<string, Promise<Plan>>} */
const plans = new Map();

const jobs = new Jobs(stopButton, () => [startButton, saveButton, largeBox, ...boxes]);

/** Bytes of GPU memory from which on a kernel is measured only where its visitor agrees. */
const LARGE = 2 ** 27;

/** Bytes of GPU memory. @param {{plan: Plan}} work */
function bytesOf({ plan }) {
  return plan.buffers.reduce((sum, { bytes = 0 }) => sum + bytes, 0);
}

/** The networks to choose from, and the kernels that take as much memory. */
function list() {
  byId('probe', HTMLElement).textContent =
    `Copying takes up to ${size(bytesOf(benchmark.ceilings.gpu.copy))} of GPU memory for a moment, less where there is less.`;
  boxes = benchmark.networks.map(({ ask }) => element('input', { type: 'checkbox', checked: !ask }));
  const items = benchmark.networks.map(({ name, size: [height, width], batch, pass, bytes, download }, i) => {
    const words = `${name}, ${height}x${width}, ${passOf(pass)}, batch ${batch}`;
    const cost = element('small', {
      className: 'quiet',
      textContent: `downloads ${size(download)}, takes ${size(bytes)} of GPU memory`,
    });
    return element('li', {}, element('label', { className: 'check' }, boxes[i], element('span', {}, `${words} `, cost)));
  });
  const large = benchmark.kernels.filter(kernel => bytesOf(kernel) >= LARGE);
  if (large.length > 0) {
    const names = [...new Set(large.map(({ operator, pass }) => `${operator} ${pass}`))].join(', ');
    const cost = `takes up to ${size(Math.max(...large.map(bytesOf)))} of GPU memory`;
    const words = element(
      'span',
      {},
      `kernels of large tensors: ${names} `,
      element('small', { className: 'quiet', textContent: cost }),
    );
    items.push(element('li', {}, element('label', { className: 'check' }, largeBox, words)));
  }
  /** @type {HTMLElement} */ (byId('networks', HTMLElement).querySelector('ul')).replaceChildren(...items);
}

/** @param {string} pass */
function passOf(pass) {
  return pass === 'infer' ? 'inference' : pass === 'train' ? 'training step' : pass;
}

/** A network's plan, fetched once. @param {string} path @returns {Promise<Plan>} */
function planOf(path) {
  let plan = plans.get(path);
  if (!plan) {
    plan = getJson(path);
    plans.set(path, plan);
    plan.catch(() => plans.delete(path));
  }
  return plan;
}

/** Measures what is chosen. Each run has its own device, so that the next one starts with all memory free. */
function run() {
  return jobs
    .run(async turn => {
      const kernels = benchmark.kernels.filter(kernel => largeBox.checked || bytesOf(kernel) < LARGE);
      const chosen = benchmark.networks.filter((_, i) => boxes[i].checked);
      const networks = [];
      for (const [i, work] of chosen.entries()) {
        await turn(`Fetching ${work.name}.`, i / chosen.length);
        networks.push({ work, plan: await planOf(work.plan) });
      }
      await turn('Opening the GPU.', NaN);
      const all = [
        ...Object.values(benchmark.ceilings).flatMap(({ arithmetic, copy }) => [arithmetic.plan, copy.plan]),
        ...kernels.map(({ plan }) => plan),
        ...networks.map(({ plan }) => plan),
      ];
      const gpu = await open(all);
      try {
        const called = name.value || adapterName(gpu.adapter);
        const measured = await measure(gpu, { ...benchmark, kernels }, networks, {
          name: called,
          shader,
          turn,
          onReport: show,
        });
        report = measured.report;
      } finally {
        gpu.device.destroy();
      }
      return 'Done.';
    })
    .then(isDone => {
      saveButton.disabled = report === undefined;
      return isDone;
    });
}

/** Shows what was measured so far. @param {Report} so @param {LeftOut[]} leftOut */
function show(so, leftOut) {
  report = so;
  byId('found', HTMLElement).hidden = false;
  byId('gflops', HTMLElement).textContent = `${short(so.ceiling.gflops)} GFLOP/s`;
  byId('gbps', HTMLElement).textContent = `${short(so.ceiling.gbps)} GB/s`;
  const networks = so.networks.map(
    ({ name, size: [height, width], batch, pass, seconds, dispatches, host_seconds: host, peak_bytes: bytes }) => [
      name,
      `${height}x${width}`,
      passOf(pass),
      batch,
      duration(seconds),
      `${short(batch / seconds)} /s`,
      duration(host),
      dispatches,
      size(bytes),
    ],
  );
  byId('network-table', HTMLElement).replaceChildren(
    networks.length === 0
      ? element('p', { className: 'quiet', textContent: 'None so far.' })
      : table(
          'Times of networks',
          [
            { title: 'Network' },
            { title: 'Input' },
            { title: 'Pass' },
            { title: 'Batch', number: true },
            { title: 'A run', number: true },
            { title: 'Pictures', number: true },
            { title: 'To submit', number: true },
            { title: 'Dispatches', number: true },
            { title: 'Memory', number: true },
          ],
          networks,
        ).element,
  );
  byId('roofline', HTMLElement).replaceChildren(roofline(so.ceiling, so.kernels));
  const total = so.kernels.reduce((sum, { seconds, count }) => sum + seconds * count, 0);
  const kernels = so.kernels.map(({ operator, pass, case: shapes, variant, seconds, gflops, gbps, share, count }) => [
    `${operator} ${pass}`,
    shapes,
    variant,
    duration(seconds),
    short(gflops),
    short(gbps),
    `${(100 * share).toFixed(0)} %`,
    count,
    `${((100 * seconds * count) / total).toFixed(1)} %`,
  ]);
  byId('kernel-table', HTMLElement).replaceChildren(
    kernels.length === 0
      ? element('p', { className: 'quiet', textContent: 'None so far.' })
      : table(
          'Times of kernels, and what that is of the ceilings',
          [
            { title: 'Kernel' },
            { title: 'Shapes' },
            { title: 'Variant' },
            { title: 'A run', number: true },
            { title: 'GFLOP/s', number: true },
            { title: 'GB/s', number: true },
            { title: 'Of ceiling', number: true },
            { title: 'In a step', number: true },
            { title: 'Of their time', number: true },
          ],
          kernels,
        ).element,
  );
  byId('left-out', HTMLElement).hidden = leftOut.length === 0;
  byId('left-out-table', HTMLElement).replaceChildren(
    table(
      'Not measured',
      [{ title: 'What' }, { title: 'Why' }],
      leftOut.map(({ what, why }) => [what, why]),
    ).element,
  );
}

async function start() {
  const bundle = await getBundle();
  status('Fetching the list of what to measure.', NaN);
  benchmark = await getJson(bundle.benchmark);
  list();
  // Only to say which GPU it is.
  (await open([])).device.destroy();
  status('');
  startButton.disabled = false;
  startButton.addEventListener('click', run);
  saveButton.addEventListener('click', () => download('bench-webgpu.json', JSON.stringify(report, null, 1)));
  if (parameters.has('run') && (await run())) result(report);
}

start().catch(refuse);
