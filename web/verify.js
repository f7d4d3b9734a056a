// @ts-check
// The page that compares this GPU with the program.

import { checkInference, checkTraining, searchInference, searchTraining } from './checks.js';
import { Jobs, fetching } from './job.js';
import {
  byId,
  download,
  element,
  getBundle,
  getJson,
  getTensors,
  open,
  page,
  parameters,
  refuse,
  result,
  shader,
  status,
} from './page.js';
import { whatIsMissing } from './runtime.js';
import { plain, short, table, verdict } from './table.js';

/**
 * @typedef {import('./checks.js').OutputCheck} OutputCheck
 * @typedef {import('./checks.js').Search} Search
 * @typedef {import('./runtime.js').Plan} Plan
 * @typedef {import('./tensors.js').Tensor} Tensor
 * @typedef {import('./page.js').Bundle} Bundle
 * @typedef {Awaited<ReturnType<typeof checkInference>>} Inference
 * @typedef {Awaited<ReturnType<typeof checkTraining>>} TrainingStep
 * @typedef {{plan: string, why: string}[]} LeftOut
 * @typedef {{adapter: string, browser: string, seconds: number, passed: boolean,
 *   inference: {passed: boolean, plans: Inference[], left_out: LeftOut, dispatches?: Search},
 *   training: {passed: boolean, plans: TrainingStep[], left_out: LeftOut, dispatches?: Search}}} Report
 */

page('verify');

const [startButton, traceButton, saveButton, stopButton] = ['start', 'trace', 'save', 'stop'].map(id =>
  byId(id, HTMLButtonElement),
);
const jobs = new Jobs(stopButton, () => [startButton, traceButton, saveButton]);
const place = (/** @type {string} */ id) => byId(id, HTMLElement);

/** @type {Bundle} */ let bundle;
/** Of inference, in the order of the bundle. @type {Plan[]} */ let plans;
/** Of training by the default loss. @type {Plan[]} */ let trainingPlans;
/** @type {{adapter: GPUAdapter, device: GPUDevice, name: string, software: boolean}} */ let gpu;
/** @type {Report | undefined} */ let report;
/** @type {Map<string, Promise<Map<string, Tensor>>>} */
const files = new Map();

/** A file's tensors, fetched once. @param {string} path @param {string} what */
function fetched(path, what) {
  let file = files.get(path);
  if (!file) {
    file = getTensors(path, fetching(what));
    files.set(path, file);
    file.catch(() => files.delete(path));
  }
  return file;
}

const weightsOf = () => fetched(bundle.inference.weights.file, 'the weights');
const inferenceVectors = () => fetched(bundle.inference.vectors, 'the expected outputs');
const trainingVectors = () => fetched(bundle.training.vectors, 'the expected step');

/** The plan that fingerprints are of. @param {Plan[]} plans */
const last = plans => plans[plans.length - 1];

/** Checks of no plan at all have shown nothing. @param {{passed: boolean}[]} checks */
const isPassed = checks => checks.length > 0 && checks.every(({ passed }) => passed);

/** Inference and one training step; then, where one differs, its dispatches. */
function verify() {
  const start = performance.now();
  clear();
  return jobs
    .run(async turn => {
      const { device, adapter } = gpu;
      const options = { shader, turn };
      /** @type {Report['inference']} */
      const inference = { passed: false, plans: [], left_out: [] };
      for (const plan of plans) {
        const why = whatIsMissing(adapter, plan);
        if (why) inference.left_out.push({ plan: plan.name, why });
        else inference.plans.push(await checkInference(device, plan, await weightsOf(), await inferenceVectors(), options));
        showInference(inference);
      }
      inference.passed = isPassed(inference.plans);
      if (!inference.passed && !whatIsMissing(adapter, last(plans))) {
        const found = await searchInference(device, last(plans), await weightsOf(), await inferenceVectors(), options);
        inference.dispatches = found;
        showSearch('Inference', found);
      }
      /** @type {Report['training']} */
      const training = { passed: false, plans: [], left_out: [] };
      for (const plan of trainingPlans) {
        const why = whatIsMissing(adapter, plan);
        if (why) training.left_out.push({ plan: plan.name, why });
        else training.plans.push(await checkTraining(device, plan, bundle.training, await trainingVectors(), options));
        showTraining(training);
      }
      training.passed = isPassed(training.plans);
      if (!training.passed && !whatIsMissing(adapter, last(trainingPlans))) {
        const found = await searchTraining(device, last(trainingPlans), bundle.training, await trainingVectors(), options);
        training.dispatches = found;
        showSearch('Training', found);
      }
      const passed = inference.passed && training.passed;
      report = {
        adapter: gpu.name,
        browser: navigator.userAgent,
        seconds: (performance.now() - start) / 1e3,
        passed,
        inference,
        training,
      };
      const line = place('verdict'),
        seconds = `${short(report.seconds)} seconds`;
      line.hidden = false;
      line.className = passed ? 'passed' : 'failed';
      line.replaceChildren(verdict(passed, passed ? 'Verified.' : 'Not verified.'), ` ${inWords(report)} (${seconds})`);
      return '';
    })
    .then(isDone => {
      saveButton.disabled = report === undefined;
      return isDone;
    });
}

/** @param {Report} report */
function inWords({ passed, inference, training }) {
  if (passed) return 'This GPU computes what the program computed: the network’s outputs and every tensor of a training step.';
  const parts = [];
  if (inference.plans.length === 0)
    parts.push(`The network could not run. ${inference.left_out.map(({ why }) => why).join(' ')}`);
  else if (!inference.passed) parts.push(`The network’s outputs differ. ${firstInWords(inference.dispatches)}`);
  if (training.plans.length === 0)
    parts.push(`The training step could not run. ${training.left_out.map(({ why }) => why).join(' ')}`);
  else if (!training.passed) parts.push(`The training step differs. ${firstInWords(training.dispatches)}`);
  return parts.join(' ');
}

/** @param {Search | undefined} search */
function firstInWords(search) {
  if (!search) return '';
  const { first, worst, compared } = search;
  if (first) {
    const where = `number ${first.number}, '${first.label}', of the kernel ${first.kernel}`;
    const distance = `relative distance ${short(first.distance)}, of ${short(first.allowed)} that are allowed`;
    return `The first dispatch to differ is ${where}: ${distance}.`;
  }
  if (!worst) return 'The bundle has no fingerprints of its dispatches.';
  const most = `the nearest to that has ${share(worst.distance / worst.allowed)} of it, '${worst.label}' (${worst.kernel})`;
  return `None of ${compared} dispatches that were compared differs by more than is allowed; ${most}.`;
}

function clear() {
  for (const id of ['verdict', 'inference', 'training', 'dispatches']) place(id).hidden = true;
  for (const id of ['inference-tables', 'training-tables', 'dispatch-tables']) place(id).replaceChildren();
  report = undefined;
}

/** @param {string} caption @param {OutputCheck[]} outputs */
function outputTable(caption, outputs) {
  const columns = [
    { title: 'Output' },
    { title: 'Shape' },
    { title: 'Largest', number: true },
    { title: 'Difference', number: true },
    { title: 'In units', number: true },
    { title: 'Allowed' },
    { title: 'Result' },
  ];
  return table(
    caption,
    columns,
    outputs.map(({ name, shape, largest, absolute, units, pixels, allowed, passed, undecided }) => [
      name,
      `[${shape.join(', ')}]`,
      short(largest),
      pixels === undefined ? short(absolute) : `${short(pixels)} pixels`,
      short(units),
      allowed,
      undecided && passed ? 'undecided' : verdict(passed),
    ]),
  ).element;
}

/** @param {Report['inference']} inference */
function showInference({ plans, left_out: leftOut }) {
  place('inference').hidden = false;
  place('inference-tables').replaceChildren(
    ...plans.map(({ plan, target, outputs }) => outputTable(nameOf(plan, target), outputs)),
    ...leftOutLines(leftOut),
  );
}

/** @param {LeftOut} leftOut */
function leftOutLines(leftOut) {
  return leftOut.map(({ why }) => element('p', { className: 'quiet', textContent: `Left out: ${why}` }));
}

/** @param {Report['training']} training */
function showTraining({ plans, left_out: leftOut }) {
  place('training').hidden = false;
  place('training-tables').replaceChildren(...plans.flatMap(stepTables), ...leftOutLines(leftOut));
}

/** @param {TrainingStep} step */
function stepTables({ plan, target, outputs, tensors }) {
  const name = nameOf(plan, target);
  const kinds = /** @type {const} */ ([
    ['parameter', 'Parameters'],
    ['moment', 'Moments of AdamW'],
    ['statistic', 'Running statistics'],
  ]);
  const groups = kinds.map(([kind, title]) => ({ title, of: tensors.filter(it => it.kind === kind) }));
  const summary = groups
    .filter(({ of }) => of.length > 0)
    .map(({ title, of }) => {
      const good = of.filter(({ passed }) => passed).length;
      return [
        title,
        `${good} of ${of.length}`,
        short(Math.max(...of.map(({ distance }) => distance))),
        share(Math.max(...of.map(({ distance, allowed }) => distance / allowed))),
        verdict(good === of.length),
      ];
    });
  const sums = [
    { title: 'Kind' },
    { title: 'Passed', number: true },
    { title: 'Largest distance', number: true },
    { title: 'At most, of allowed', number: true },
    { title: 'Result' },
  ];
  const columns = [
    { title: 'Tensor' },
    { title: 'Kind' },
    { title: 'Elements', number: true },
    { title: 'Distance', number: true },
    { title: 'Allowed', number: true },
    { title: 'Turned', number: true },
    { title: 'Result' },
  ];
  const sorted = [...tensors].sort((a, b) => Number(a.passed) - Number(b.passed) || byDistance(a, b));
  const rows = sorted.map(({ name, kind, elements, distance, allowed, turned, passed }) => [
    name,
    kind,
    elements,
    short(distance),
    short(allowed),
    turned === undefined ? '' : short(turned),
    verdict(passed),
  ]);
  const hint = 'Distance: relative to the norm. Turned: about how many elements of a parameter stepped the other way.';
  return [
    outputTable(`${name}: losses, and the joints that it found`, outputs),
    table(`${name}: tensors after the step`, sums, summary).element,
    element(
      'details',
      {},
      element('summary', { textContent: `All ${tensors.length} tensors, those that differ most first` }),
      element('p', { className: 'quiet' }, element('small', { textContent: hint })),
      table('Tensors by distance', columns, rows).element,
    ),
  ];
}

/** @param {string} plan @param {string} target */
function nameOf(plan, target) {
  return target === 'default' ? plan : `${plan}, ${target}`;
}

/** @param {string} of @param {Search} search */
function showSearch(of, search) {
  place('dispatches').hidden = false;
  const columns = [
    { title: 'Dispatch' },
    { title: 'Number', number: true },
    { title: 'Kernel' },
    { title: 'Distance', number: true },
    { title: 'Allowed', number: true },
  ];
  const most = [...search.all].sort(byDistance).slice(0, 12);
  const all = search.first && !most.includes(search.first) ? [search.first, ...most] : most;
  const made = table(`${of}: the dispatches that differ most`, columns, []);
  for (const it of all) {
    const row = made.add([
      it.label,
      it.number,
      element('a', { href: `kernels.html#${it.kernel}`, textContent: it.kernel }),
      short(it.distance),
      short(it.allowed),
    ]);
    if (it === search.first) row.className = 'off';
  }
  place('dispatch-tables').append(
    element('p', { className: search.first ? 'found' : 'note', textContent: `${of}: ${firstInWords(search)}` }),
    made.element,
  );
}

/** Compares what every dispatch writes, whether or not the outputs differ. */
function trace() {
  place('dispatch-tables').replaceChildren();
  return jobs.run(async turn => {
    const options = { shader, turn, isWhole: true },
      plan = /** @type {Plan} */ (plans.at(-1));
    if (!whatIsMissing(gpu.adapter, plan)) {
      showSearch('Inference', await searchInference(gpu.device, plan, await weightsOf(), await inferenceVectors(), options));
    }
    if (!whatIsMissing(gpu.adapter, last(trainingPlans))) {
      showSearch(
        'Training',
        await searchTraining(gpu.device, last(trainingPlans), bundle.training, await trainingVectors(), options),
      );
    }
    return 'All dispatches have been compared.';
  });
}

/**
 * The farthest first, by what is allowed.
 * @param {{distance: number, allowed: number}} a @param {{distance: number, allowed: number}} b
 */
const byDistance = (a, b) => {
  const [x, y] = [a.distance / a.allowed, b.distance / b.allowed];
  return Number(y > x) - Number(y < x);
};

/** A share as per cent. @param {number} of */
const share = of => (Number.isFinite(of) ? `${short(100 * of)} %` : 'infinite');

async function start() {
  bundle = await getBundle();
  status('Fetching the plans.', NaN);
  const { inference, training } = bundle;
  plans = await Promise.all(inference.plans.map(getJson));
  trainingPlans = await Promise.all(training.plans[training.loss].map(getJson));
  gpu = await open([...plans, ...trainingPlans]);
  status('');
  startButton.disabled = traceButton.disabled = false;
  startButton.addEventListener('click', verify);
  traceButton.addEventListener('click', trace);
  saveButton.addEventListener('click', () => download('verify.json', JSON.stringify(report, plain, 1)));
  if (parameters.has('run') && (await verify())) result(JSON.parse(JSON.stringify(report, plain)));
}

start().catch(refuse);
