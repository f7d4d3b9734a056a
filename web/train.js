// @ts-check
// The page on which a small network learns.

import {
  byId, complain, element, getBundle, getJson, holdFocus, open, page, parameters, refuse, result, status,
} from './page.js';
import { drawCurve, smoothed } from './curve.js';
import { coloursOf, drawSkeleton, sharp } from './draw.js';
import { bundledPicture } from './picture.js';
import { Trainer, countFound, meanPose } from './trainer.js';
import { Refusal } from './runtime.js';

/** @typedef {import('./trainer.js').Outcome} Outcome */

/** Steps from one look at the people that are held out to the next. */
const LOOK = 10;
/** Milliseconds between drawings. */
const REDRAW = 150;
/** Seconds of a step that the page warns of. */
const SLOW = 2;
/** Steps that the speed is told from. */
const TIMED = 30;

page('train');
const startButton = byId('start', HTMLButtonElement), stepButton = byId('step', HTMLButtonElement);
const resetButton = byId('reset', HTMLButtonElement);
const rateField = byId('rate', HTMLInputElement), lossField = byId('loss', HTMLSelectElement);
const weightField = byId('weight', HTMLInputElement), seedField = byId('seed', HTMLInputElement);

/** @type {import('./page.js').Training} */ let training;
/** @type {import('./picture.js').Picture} */ let sheet;
/** @type {Uint32Array} */ let pixels;
/** @type {GPUDevice} */ let device;
/** Those that the GPU takes, by loss. @type {Map<string, import('./runtime.js').Plan[]>} */ let plans;
/** Those that are open, by loss. @type {Map<string, Trainer>} */ const trainers = new Map();
/** @type {Trainer | undefined} */ let trainer;
/** The run in progress. @type {Promise<void> | undefined} */ let running;
let shouldStop = false, isBusy = true, adapter = '', drawnAt = 0;
/** Share that the mean pose finds of the people that are held out. */
let baseline = 0;

/**
 * @typedef {{steps: number[], losses: number[][], shares: number[], seconds: number[], lookedAt: number[],
 *   heldOut: number[]}} History what has been recorded since the last reset: by step the losses, the share of joints found in
 *   percent and the seconds; and by look at the people that are held out the step and the share
 */

/** @type {History} */
let record = empty();
/** @type {{heldOut?: Outcome, batch?: Outcome}} */ let seen = {};

/** @returns {History} */
function empty() {
  return { steps: [], losses: [], shares: [], seconds: [], lookedAt: [], heldOut: [] };
}

main().catch(refuse);

async function main() {
  status('Loading people and plans', NaN);
  ({ training } = await getBundle());
  const { people, size: [height, width], batch } = training;
  prepare();
  /** @type {(files: string[]) => Promise<import('./runtime.js').Plan[]>} */
  const read = files => Promise.all(files.map(getJson));
  const [picture, all] = await Promise.all([bundledPicture(people.sheet), Promise.all(Object.values(training.plans).map(read))]);
  sheet = picture;
  const rows = Math.ceil(people.count / people.columns);
  if (people.count < 2 * batch || sheet.width < people.columns * width || sheet.height < rows * height) {
    throw new Refusal(`The picture '${people.sheet}' does not hold the people that the bundle promises: write the folder again.`);
  }
  pixels = new Uint32Array(people.count * width * height);
  for (let person = 0; person < people.count; person++) {
    const { left, top } = placeOf(person);
    pixels.set(sheet.pixels({ left, top, width, height }), person * width * height);
  }
  const guess = meanPose(people.joints.slice(0, people.count - batch));
  baseline = shareOf(Array.from({ length: batch }, (_, i) => ({ person: people.count - batch + i, found: guess })));
  const opened = await open(all.flat(), { onLost: () => { shouldStop = true; } });
  ({ device, name: adapter } = opened);
  plans = new Map(Object.keys(training.plans).map((loss, i) => [loss, all[i].filter(plan => opened.plans.includes(plan))]));
  if (!lossField.value) throw new Error('The bundle has no plan of training.');
  await useLoss();
  setBusy(false);
  if (parameters.get('run') === '1') await report(Math.max(1, Number(parameters.get('steps')) || 100));
}

/** Fills the controls from the bundle and the page's parameters, and connects them. */
function prepare() {
  const { plans, loss, learning_rate: rate, warm_up: warmUp, seeds, batch, people, size } = training;
  lossField.replaceChildren(...Object.keys(plans).map(name => element('option', { value: name, textContent: name })));
  const wanted = parameters.get('loss');
  lossField.value = wanted !== null && wanted in plans ? wanted : loss;
  rateField.value = parameters.get('rate') ?? String(rate);
  seedField.value = parameters.get('seed') ?? '0';
  if (seeds.length > 1) weightField.value = String(seeds[1].value);
  else weightField.closest('label')?.remove();
  byId('how', HTMLParagraphElement).textContent =
    `A step takes ${batch} of ${people.count - batch} people of ${size[1]} x ${size[0]} pixels. `
    + `The learning rate rises over the first ${warmUp} steps, and may be changed at any time. Another loss or seed begins anew.`;
  startButton.addEventListener('click', () => {
    if (!isBusy) (running ? pause() : start()).catch(refuse);
  });
  stepButton.addEventListener('click', () => act(() => start(1)));
  resetButton.addEventListener('click', () => act(reset));
  lossField.addEventListener('change', () => act(useLoss));
  seedField.addEventListener('change', () => act(reset));
  weightField.addEventListener('change', weigh);
  rateField.addEventListener('change', () => {
    complain(rateOf() === undefined ? 'The learning rate must be a number from 0 up.' : '');
  });
  new ResizeObserver(() => drawAll()).observe(document.body);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAll);
}

/**
 * Does what a control asks for once the step in progress has ended. Until it is done no control takes anything else.
 * @param {() => Promise<void>} action
 */
async function act(action) {
  if (isBusy) return;
  const restoreFocus = holdFocus();
  setBusy(true);
  try {
    await pause();
    await action();
    setBusy(false);
    restoreFocus();
  } catch (error) {
    refuse(error);
  }
}

/** @param {boolean} busy */
function setBusy(busy) {
  isBusy = busy;
  for (const control of [startButton, stepButton, resetButton, lossField, seedField]) control.disabled = busy;
}

/** The learning rate after the warm-up, or undefined where the field holds no such number. */
function rateOf() {
  const rate = rateField.valueAsNumber;
  return rate >= 0 ? rate : undefined;
}

/** Opens the plan of the chosen loss, and begins anew. */
async function useLoss() {
  const loss = lossField.value;
  let next = trainers.get(loss);
  if (!next) {
    next = await Trainer.open(device, plans.get(loss) ?? [], training, pixels, (done, all) => {
      status(`Compiling the kernels: ${done} of ${all}`, done / all);
    });
    trainers.set(loss, next);
  }
  trainer = next;
  weigh();
  await reset();
}

function weigh() {
  const weight = weightField.valueAsNumber;
  if (training.seeds.length < 2) return;
  if (weight >= 0) trainer?.weigh(1, weight);
  complain(weight >= 0 ? '' : 'The weight of the bones must be a number from 0 up.');
}

/** Begins anew. */
async function reset() {
  if (!trainer) return;
  const seed = seedField.valueAsNumber;
  complain(seed >= 0 && seed < 2 ** 32 ? '' : 'The seed must be a whole number from 0 to 4294967295: 0 was taken.');
  trainer.reset(seed >= 0 && seed < 2 ** 32 ? Math.floor(seed) : 0);
  record = empty();
  seen = {};
  await look(trainer);
  startButton.textContent = 'Start';
  drawAll();
  status('Ready: the weights are random.');
}

/** Stops after the step in progress. */
async function pause() {
  shouldStop = true;
  if (running) status('Stopping after this step');
  await running;
}

/** Trains until it is stopped, or for some steps. @param {number} [steps] */
async function start(steps = Infinity) {
  if (!trainer || running) return;
  shouldStop = false;
  running = train(trainer, steps);
  if (!isBusy) startButton.textContent = 'Pause';
  try {
    await running;
  } finally {
    running = undefined;
    startButton.textContent = record.steps.length > 0 ? 'Continue' : 'Start';
    drawAll();
  }
}

/** @param {Trainer} trainer @param {number} steps */
async function train(trainer, steps) {
  status(steps === 1 ? 'One step' : 'Training');
  for (let step = 0; step < steps && !shouldStop; step++) {
    if (document.hidden) {
      status('Paused while this tab is in the background.');
      await visible();
      status('Training');
      if (shouldStop) break;
    }
    const from = performance.now(), outcome = await trainer.step(rateOf() ?? training.learning_rate);
    record.seconds.push((performance.now() - from) / 1e3);
    record.steps.push(trainer.steps);
    record.losses.push(outcome.losses);
    record.shares.push(100 * shareOf(outcome.people.map((person, i) => ({ person, found: outcome.found[i] }))));
    seen.batch = outcome;
    if (!outcome.losses.every(Number.isFinite)) {
      complain('The loss is no longer a number: the learning rate is too high. Lower it, and press Reset.');
      break;
    }
    if (step === 0 && record.seconds[record.seconds.length - 1] > SLOW) {
      status(`Training: a step takes ${Math.round(record.seconds[record.seconds.length - 1])} s here.`);
    }
    if (trainer.steps % LOOK === 0 || steps === 1) await look(trainer);
    if (performance.now() - drawnAt > REDRAW) drawAll();
  }
  if (trainer.steps % LOOK !== 0 && steps !== 1) await look(trainer);
  status(`Paused after ${trainer.steps} ${trainer.steps === 1 ? 'step' : 'steps'}.`);
}

/** Waits until the tab is seen. */
function visible() {
  return /** @type {Promise<void>} */ (new Promise(resolve => {
    const listen = () => {
      if (document.hidden) return;
      document.removeEventListener('visibilitychange', listen);
      resolve();
    };
    document.addEventListener('visibilitychange', listen);
    listen();
  }));
}

/** @param {Trainer} trainer */
async function look(trainer) {
  const outcome = await trainer.look();
  seen.heldOut = outcome;
  record.lookedAt.push(trainer.steps);
  record.heldOut.push(100 * shareOf(outcome.people.map((person, i) => ({ person, found: outcome.found[i] }))));
}

/** Trains for the page's parameter `steps`, and hands over what came of it. @param {number} steps */
async function report(steps) {
  await start(steps);
  const sorted = [...record.seconds].sort((a, b) => a - b);
  result({ losses: record.losses, seconds_a_step: sorted[sorted.length >> 1], adapter, held_out_percent: record.heldOut.at(-1) });
}

/** Share of labelled joints that are found. @param {{person: number, found: Float32Array}[]} people */
function shareOf(people) {
  let found = 0, all = 0;
  for (const person of people) {
    const counts = countFound(training.people.joints[person.person], person.found);
    found += counts.found;
    all += counts.all;
  }
  return found / Math.max(1, all);
}

/** Where a person is on the sheet. @param {number} person */
function placeOf(person) {
  const { people: { columns }, size: [height, width] } = training;
  return { left: person % columns * width, top: Math.floor(person / columns) * height };
}

function drawAll() {
  if (!trainer) return;
  drawnAt = performance.now();
  fillFacts(trainer);
  drawCurves();
  drawPeople('held-out', seen.heldOut);
  drawPeople('batch', seen.batch);
}

/** @param {Trainer} trainer */
function fillFacts(trainer) {
  const put = (/** @type {string} */ id, /** @type {string} */ text) => { byId(id, HTMLElement).textContent = text; };
  const mean = (/** @type {number} */ loss) => smoothed(record.losses.map(losses => losses[loss])).at(-1);
  const recent = record.seconds.slice(-TIMED), seconds = recent.reduce((a, b) => a + b, 0) / recent.length;
  put('steps', String(trainer.steps));
  put('pass', String(Math.max(1, trainer.pass)));
  put('now', `${Number(trainer.rateOf(rateOf() ?? training.learning_rate).toPrecision(3))}`);
  put('joints-loss', mean(0)?.toPrecision(3) ?? '-');
  put('bones-loss', trainer.losses.length > 1 ? mean(1)?.toPrecision(3) ?? '-' : 'none');
  put('share', record.heldOut.length > 0 ? `${record.heldOut[record.heldOut.length - 1].toFixed(0)} %` : '-');
  put('speed', recent.length > 0 ? (1 / seconds).toPrecision(3) : '-');
}

function drawCurves() {
  const { steps, losses, shares, lookedAt, heldOut } = record, lossCurve = byId('loss-curve', HTMLCanvasElement);
  const series = (trainer?.losses ?? []).map((name, loss) => ({
    name, steps, values: losses.map(all => all[loss]), smooth: true,
    colour: ['--first', '--second'][loss], dash: loss === 0 ? [] : [7, 4],
  }));
  drawCurve(lossCurve, series, { y: 'loss, logarithmic', log: true });
  const round = (/** @type {number | undefined} */ value) => value?.toPrecision(3);
  const falls = (/** @type {number[]} */ values) => `from ${round(values[0])} to ${round(smoothed(values).at(-1))}`;
  lossCurve.ariaLabel = steps.length === 0 ? 'No step yet'
    : `Losses over ${steps.length} steps: ${series.map(({ name, values }) => `${name} ${falls(values)}`).join(', ')}`;
  byId('bones-key', HTMLElement).hidden = series.length < 2;
  const shareCurve = byId('share-curve', HTMLCanvasElement);
  drawCurve(shareCurve, [
    { name: 'training batches', steps, values: shares, smooth: true, colour: '--first', dash: [] },
    { name: 'held out', steps: lookedAt, values: heldOut, smooth: false, colour: '--second', dash: [7, 4] },
  ], { y: 'joints found, %', range: [0, 100], lines: [{ name: 'the mean pose, held out', value: 100 * baseline }] });
  shareCurve.ariaLabel = `Joints found of the people held out: ${heldOut.at(-1)?.toFixed(0) ?? 0} percent; `
    + `by the mean pose: ${(100 * baseline).toFixed(0)} percent`;
}

/** @param {string} id @param {Outcome | undefined} outcome */
function drawPeople(id, outcome) {
  const { size: [height, width], heat_map: heatMap, joints, bones, people, batch } = training, place = byId(id, HTMLDivElement);
  while (place.children.length < batch) {
    const canvas = element('canvas', { role: 'img', ariaLabel: 'Nobody yet' });
    canvas.style.setProperty('--aspect', String(width / height));
    place.append(canvas);
  }
  outcome?.people.forEach((person, i) => {
    const canvas = /** @type {HTMLCanvasElement} */ (place.children[i]), { left, top } = placeOf(person);
    const { context, width: across, height: down } = sharp(canvas), stride = width / heatMap[1], factor = across / width;
    context.drawImage(sheet.canvas, left, top, width, height, 0, 0, across, down);
    const on = (/** @type {number} */ place) => (stride * place + 0.5) * factor;
    const at = (/** @type {ArrayLike<number>} */ joint, /** @type {number} */ score) => [on(joint[0]), on(joint[1]), score];
    const truth = people.joints[person], found = joints.map((_, joint) => outcome.found[i].subarray(3 * joint, 3 * joint + 3));
    drawSkeleton(context, truth.map(joint => at(joint, joint[2])), bones, 'white', { width: across / 100 });
    drawSkeleton(context, found.map(joint => at(joint, 1)), bones, coloursOf(joints, bones), { width: across / 70 });
    const counts = countFound(truth, outcome.found[i]);
    canvas.ariaLabel = `Person ${person + 1}: ${counts.found} of ${counts.all} joints found`;
  });
  if (!outcome) {
    for (const canvas of place.children) {
      sharp(/** @type {HTMLCanvasElement} */ (canvas));
      canvas.ariaLabel = 'Nobody yet';
    }
  }
}
