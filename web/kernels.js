// @ts-check
// The page of the kernels: reads them, runs them on their cases, edits and times them.

import { byKernel, casesOf, compileErrors, runAll, shareOfTolerance, timeCase } from './cases.js';
import { parseComment } from './comment.js';
import { Editor } from './editor.js';
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
import { Refusal, elements, whatIsMissing } from './runtime.js';
import { duration, exact, plain, short, table, verdict } from './table.js';

/**
 * @typedef {import('./cases.js').Kernels} Kernels
 * @typedef {import('./cases.js').Outcome} Outcome
 * @typedef {import('./tensors.js').Tensor} Tensor
 */

/** Where edits are kept until the tab is closed. */
const STORE = 'ditn edits';

page('kernels');

const button = (/** @type {string} */ id) => byId(id, HTMLButtonElement);
const [runAllButton, runButton, timeButton, resetButton, saveButton] = ['run-all', 'run', 'time', 'reset', 'save'].map(button);
const which = byId('which', HTMLSelectElement);
const jobs = new Jobs(button('stop'), () => [runAllButton, runButton, timeButton, resetButton, saveButton, which]);

/** @type {Kernels} */ let kernels;
/** @type {{adapter: GPUAdapter, device: GPUDevice, name: string, software: boolean}} */ let gpu;
/** @type {Map<string, Tensor> | undefined} */ let tensors;
/** The kernel that is shown. */
let shown = '';
/** Its source as shipped. */
let shipped = '';
/** Sources that differ from the shipped ones, by kernel. @type {Map<string, string>} */
const edits = new Map();
/** Marks in the list, by kernel. @type {Map<string, HTMLElement>} */
const marks = new Map();
/** Outcomes of the last run, by kernel. @type {Map<string, Outcome[]>} */
const last = new Map();
/** What `save` offers. @type {object | undefined} */
let report;

const editor = new Editor(byId('source', HTMLTextAreaElement), byId('gutter', HTMLPreElement), {
  onInput: keep,
  onRun: () => runButton.click(),
});
const sourceOf = (/** @type {string} */ kernel) => edits.get(kernel) ?? shader(kernel);

/** Tensors of the cases, fetched once. */
async function getCases() {
  if (tensors) return tensors;
  tensors = await getTensors(kernels.tensors, fetching('the cases'));
  return tensors;
}

/** Takes what the editor holds. @param {string} text */
function keep(text) {
  if (text === shipped) edits.delete(shown);
  else edits.set(shown, text);
  byId('edited', HTMLElement).hidden = !edits.has(shown);
  resetButton.disabled = !edits.has(shown) || jobs.isRunning;
  last.delete(shown);
  mark(shown);
  try {
    sessionStorage.setItem(STORE, JSON.stringify([...edits]));
  } catch {
    /* Without storage a reload forgets them. */
  }
}

/** Edits of before a reload. */
function restore() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(STORE) ?? '[]');
    for (const [kernel, text] of kept) if (kernels.kernels.some(({ name }) => name === kernel)) edits.set(kernel, text);
  } catch {
    /* as in `keep` */
  }
}

/** The list of kernels by folder. */
function list() {
  const folderOf = (/** @type {string} */ name) => name.split('/')[0];
  const groups = [...new Set(kernels.kernels.map(({ name }) => folderOf(name)))].map(folder => {
    const items = kernels.kernels
      .filter(({ name }) => folderOf(name) === folder)
      .map(({ name, summary }) => {
        const made = element('span');
        marks.set(name, made);
        const link = element('a', { href: `#${name}`, title: summary }, name.slice(folder.length + 1), made);
        return element('li', { data: { name, summary } }, link);
      });
    return element('section', {}, element('h3', { textContent: folder }), element('ul', { ariaLabel: folder }, ...items));
  });
  byId('list', HTMLElement).replaceChildren(...groups);
  const filter = byId('filter', HTMLInputElement);
  filter.addEventListener('input', () => sift(filter.value));
  sift('');
  [...marks.keys()].forEach(mark);
}

/** Shows the kernels whose name or summary has all words of `text`. @param {string} text */
function sift(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const group of byId('list', HTMLElement).children) {
    let any = false;
    for (const item of /** @type {NodeListOf<HTMLElement>} */ (group.querySelectorAll('li'))) {
      const of = `${item.dataset.name} ${item.dataset.summary}`.toLowerCase();
      item.hidden = !words.every(word => of.includes(word));
      any ||= !item.hidden;
      count += item.hidden ? 0 : 1;
    }
    /** @type {HTMLElement} */ (group).hidden = !any;
  }
  byId('count', HTMLElement).textContent = `${count} of ${kernels.kernels.length} kernels`;
}

/** What the list says about a kernel. @param {string} kernel */
function mark(kernel) {
  const place = marks.get(kernel),
    outcomes = last.get(kernel) ?? [];
  if (!place) return;
  const failed = outcomes.filter(it => it.outcome === 'failed').length,
    passed = outcomes.filter(it => it.outcome === 'passed').length;
  const parts = /** @type {Node[]} */ ([]);
  if (edits.has(kernel)) parts.push(element('span', { className: 'warning', textContent: 'edited ' }));
  if (failed > 0) parts.push(verdict(false, `${failed} failed`));
  else if (passed > 0) parts.push(verdict(true, `${passed} passed`));
  else if (outcomes.length > 0) parts.push(element('span', { textContent: 'left out' }));
  place.replaceChildren(...parts);
}

/** The kernel that the address names. */
function addressed() {
  let wanted = location.hash.slice(1);
  try {
    wanted = decodeURIComponent(wanted);
  } catch {
    /* It names none. */
  }
  return (
    kernels.kernels.find(({ name }) => name === wanted) ??
    kernels.kernels.find(({ name }) => name === 'relu/forward') ??
    kernels.kernels[0]
  );
}

/** Shows the kernel that the address names. @param {boolean} moves whether the focus goes there */
async function show(moves) {
  const kernel = addressed(),
    source = await shader(kernel.name);
  // The address may have changed meanwhile: then another call shows what it names.
  if (addressed() !== kernel) return;
  shown = kernel.name;
  shipped = source;
  for (const link of byId('list', HTMLElement).querySelectorAll('a')) {
    if (link.hash === `#${shown}`) link.setAttribute('aria-current', 'true');
    else link.removeAttribute('aria-current');
  }
  byId('name', HTMLElement).textContent = shown;
  const { formula, parts } = parseComment(source);
  byId('formula', HTMLElement).textContent = formula || kernel.summary;
  byId('about', HTMLElement).replaceChildren(
    ...parts.flatMap(({ title, paragraphs }) => [
      ...(title ? [element('dt', { textContent: title })] : []),
      element(
        'dd',
        {},
        ...paragraphs.map(it =>
          'text' in it ? element('p', { textContent: it.text }) : element('pre', { textContent: it.drawing }),
        ),
      ),
    ]),
  );
  byId('references', HTMLElement).replaceChildren(
    ...kernel.operators.flatMap(operator => {
      const reference = kernels.references[operator];
      return reference
        ? [
            element('p', {}, `Operator ${operator}, `, element('code', { textContent: reference.file })),
            element('pre', { textContent: dedent(reference.source) }),
          ]
        : [];
    }),
  );
  editor.text = edits.get(shown) ?? source;
  byId('edited', HTMLElement).hidden = !edits.has(shown);
  const cases = casesOf(kernels, shown);
  const options = cases.map(({ one, variant }, i) =>
    element('option', { value: String(i), textContent: `${one.title}, ${variant.name}` }),
  );
  which.replaceChildren(...options);
  const sizes = cases.map(({ variant }) => variant.plan.buffers.reduce((sum, { shape = [] }) => sum + elements(shape), 0));
  which.selectedIndex = sizes.indexOf(Math.max(...sizes));
  runButton.textContent = cases.length === 1 ? 'Run its case' : `Run its ${cases.length} cases`;
  for (const id of ['times', 'verdict', 'errors']) byId(id, HTMLElement).replaceChildren();
  enable();
  showOutcomes(last.get(shown) ?? []);
  if (moves) byId('name', HTMLElement).focus();
}

/** A text without the indentation that all of its lines share. @param {string} text */
function dedent(text) {
  const lines = text.split('\n').filter(line => line.trim() !== '');
  const indent = Math.min(...lines.map(line => line.length - line.trimStart().length));
  return text.replace(new RegExp(`^ {${indent}}`, 'gm'), '').trim();
}

/** Which buttons make sense. */
function enable() {
  if (jobs.isRunning || document.documentElement.dataset.state === 'refused') return;
  const cases = casesOf(kernels, shown).length;
  runAllButton.disabled = false;
  runButton.disabled = timeButton.disabled = which.disabled = cases === 0;
  resetButton.disabled = !edits.has(shown);
  saveButton.disabled = report === undefined;
  if (cases === 0) byId('verdict', HTMLElement).textContent = 'No case runs this kernel on its own.';
}

/** Outcomes of the kernel that is shown. @param {Outcome[]} outcomes */
function showOutcomes(outcomes) {
  const place = byId('outcomes', HTMLElement);
  if (outcomes.length === 0) return place.replaceChildren();
  const columns = [
    { title: 'Case' },
    { title: 'Variant' },
    { title: 'Result' },
    { title: 'Error', number: true },
    { title: 'Tolerance', number: true },
    { title: 'Worst element' },
  ];
  const rows = outcomes.map(outcome => [
    outcome.title,
    outcome.variant,
    outcome.outcome === 'left out' ? 'left out' : verdict(outcome.outcome === 'passed'),
    outcome.worst ? short(outcome.error) : '',
    outcome.tolerance,
    worstOf(outcome),
  ]);
  place.replaceChildren(table(`Cases of ${shown}`, columns, rows).element);
}

/** @param {Outcome} outcome */
function worstOf({ worst, message, error }) {
  if (!worst) return message ?? '';
  if (error === 0) return 'all as expected, to the bit';
  const { output, place, found, expected } = worst;
  return `${output} [${place.join(', ')}]: found ${exact(found)}, expected ${exact(expected)}`;
}

/** @param {Outcome[]} outcomes */
function count(outcomes) {
  const number = (/** @type {Outcome['outcome']} */ kind) => outcomes.filter(it => it.outcome === kind).length;
  return { passed: number('passed'), failed: number('failed'), leftOut: number('left out') };
}

/** @param {Outcome[]} outcomes */
function inWords(outcomes) {
  const { passed, failed, leftOut } = count(outcomes);
  const ran = passed + failed,
    missing = leftOut ? ` ${leftOut} left out, because this GPU lacks what they need.` : '';
  if (ran === 0) return `None could run.${missing}`;
  return `${failed === 0 ? `All ${passed} passed.` : `${failed} of ${ran} failed.`}${missing}`;
}

/** In words, with a mark where any ran. @param {Outcome[]} outcomes */
function verdictOf(outcomes) {
  const { passed, failed } = count(outcomes);
  return passed + failed === 0 ? inWords(outcomes) : verdict(failed === 0, inWords(outcomes));
}

/** Runs the cases of the kernel that is shown. */
function runShown() {
  const kernel = shown,
    edited = edits.get(kernel);
  byId('errors', HTMLElement).replaceChildren();
  byId('verdict', HTMLElement).replaceChildren();
  editor.mark([]);
  // Meanwhile another kernel may be chosen, and the source changed.
  const isShown = () => shown === kernel && edits.get(kernel) === edited;
  const source = (/** @type {string} */ name) => (name === kernel ? edited ?? shader(name) : sourceOf(name));
  return jobs
    .run(async turn => {
      const cases = await getCases();
      const wrong = await compileErrors(gpu.device, kernels, kernel, await source(kernel));
      if (wrong.length > 0) {
        keepOutcomes([]);
        if (isShown()) showErrors(wrong);
        return isShown() ? '' : `${kernel} does not compile.`;
      }
      /** @type {Outcome[]} */
      const outcomes = [];
      const add = (/** @type {Outcome} */ outcome) => {
        outcomes.push(outcome);
      };
      try {
        await runAll(gpu, kernels, cases, { shader: source, kernel, turn, onOutcome: add });
      } finally {
        keepOutcomes(outcomes);
      }
      if (!isShown()) return `${kernel}, as it was when it was started: ${inWords(outcomes)}`;
      byId('verdict', HTMLElement).replaceChildren(verdictOf(outcomes));
      return '';
    })
    .then(enable);

  /** Keeps and shows outcomes unless they are of a source that has changed. @param {Outcome[]} outcomes */
  function keepOutcomes(outcomes) {
    if (edits.get(kernel) !== edited) return;
    last.set(kernel, outcomes);
    mark(kernel);
    if (shown === kernel) showOutcomes(outcomes);
  }
}

/** @param {{line: number, text: string}[]} wrong */
function showErrors(wrong) {
  editor.mark(wrong.map(({ line }) => line));
  const items = wrong.map(({ line, text }) => {
    const go = element('button', { type: 'button', textContent: `Line ${line}` });
    go.addEventListener('click', () => editor.goTo(line));
    return element('li', {}, go, element('pre', { textContent: text }));
  });
  byId('errors', HTMLElement).replaceChildren(
    element('p', { className: 'bad', textContent: '✗ The compiler refuses this source.' }),
    element('ul', {}, ...items),
  );
}

/** Times the chosen case with the shipped source and, where there is one, the edited. */
function timeShown() {
  const kernel = shown,
    edited = edits.get(kernel),
    { one, number, variant } = casesOf(kernels, kernel)[which.selectedIndex];
  const title = `${one.title}, ${variant.name}`,
    place = byId('times', HTMLElement);
  place.textContent = whatIsMissing(gpu.adapter, variant.plan) ?? '';
  if (place.textContent) return;
  return jobs
    .run(async turn => {
      const cases = await getCases();
      const measure = (/** @type {string | undefined} */ own) =>
        timeCase(gpu.device, one, number, variant, cases, {
          shader: name => (name === kernel ? own ?? shader(name) : sourceOf(name)),
        });
      await turn(`Timing ${one.title}`, NaN);
      // By turns, the least of each: what else the machine does disturbs both alike.
      const times = { edited: Infinity, shipped: Infinity };
      let refused = '';
      for (let round = 0; round < 2; round++) {
        times.shipped = Math.min(times.shipped, await measure(undefined));
        if (edited === undefined || refused) continue;
        try {
          times.edited = Math.min(times.edited, await measure(edited));
        } catch (error) {
          if (error instanceof Refusal || !(error instanceof Error)) throw error;
          refused = error.message;
        }
      }
      const dispatches = variant.plan.dispatches.length,
        of = dispatches === 1 ? '' : ` for its ${dispatches} dispatches`;
      const compared = refused
        ? `the edited source does not run. ${refused}`
        : `${duration(times.edited)} edited, ${duration(times.shipped)} as shipped${of}: ` +
          `${short(times.shipped / times.edited)} times as fast.`;
      const text = `${title}: ${edited === undefined ? `${duration(times.shipped)} a run${of}.` : compared}`;
      if (shown !== kernel) return `${kernel}: ${text}`;
      place.textContent = text;
      return '';
    })
    .then(enable);
}

/** Runs all cases of all kernels, every `every`-th of them. @param {number} [every] */
function runEverything(every = 1) {
  const summary = byId('summary', HTMLElement),
    start = performance.now();
  /** @type {Outcome[]} */
  const outcomes = [];
  summary.textContent = '';
  return jobs
    .run(async turn => {
      const cases = await getCases();
      try {
        await runAll(gpu, kernels, cases, {
          shader: sourceOf,
          every,
          turn,
          onOutcome: outcome => {
            outcomes.push(outcome);
          },
        });
      } finally {
        showAll(outcomes, (performance.now() - start) / 1e3);
      }
      return '';
    })
    .then(isDone => {
      enable();
      return isDone;
    });
}

/** @param {Outcome[]} outcomes @param {number} seconds */
function showAll(outcomes, seconds) {
  last.clear();
  for (const outcome of outcomes)
    for (const kernel of outcome.kernels) last.set(kernel, [...(last.get(kernel) ?? []), outcome]);
  [...marks.keys()].forEach(mark);
  showOutcomes(last.get(shown) ?? []);
  const { passed, failed, leftOut } = count(outcomes);
  const edited = [...edits.keys()],
    note = edited.length > 0 ? ` With your edits of ${edited.join(', ')}.` : '';
  byId('summary', HTMLElement).replaceChildren(verdictOf(outcomes), ` ${short(seconds)} seconds.${note}`);
  const columns = [
    { title: 'Kernel' },
    { title: 'Operator, variant' },
    { title: 'Passed', number: true },
    { title: 'Left out', number: true },
    { title: 'Worst, of tolerance', number: true },
    { title: 'Result' },
  ];
  const rows = byKernel(kernels, outcomes).map(({ kernel, variant, cases, passed, leftOut, worst }) => [
    element('a', { href: `#${kernel}`, textContent: kernel }),
    variant,
    `${passed} of ${cases}`,
    leftOut,
    cases === 0 ? '' : Number.isFinite(worst) ? `${short(100 * worst)} %` : 'no number',
    cases === 0 ? 'left out' : verdict(passed === cases),
  ]);
  byId('all-table', HTMLElement).replaceChildren(table('Cases by kernel and variant', columns, rows).element);
  byId('all', HTMLElement).hidden = false;
  report = {
    adapter: gpu.name,
    browser: navigator.userAgent,
    edited,
    passed,
    failed,
    left_out: leftOut,
    seconds,
    outcomes: outcomes.map(it => ({ ...it, share: shareOfTolerance(it.error, it.tolerance) })),
  };
}

async function start() {
  const bundle = await getBundle();
  status('Fetching the list of kernels.', NaN);
  kernels = await getJson(bundle.kernels);
  const isAutomatic = parameters.get('run') === 'all';
  if (!isAutomatic) restore();
  list();
  await show(false);
  addEventListener('hashchange', () => {
    show(true).catch(refuse);
  });
  gpu = await open(kernels.cases.flatMap(({ variants }) => variants.map(({ plan }) => plan)));
  status('');
  enable();
  runButton.addEventListener('click', runShown);
  timeButton.addEventListener('click', timeShown);
  runAllButton.addEventListener('click', () => runEverything());
  saveButton.addEventListener('click', () => download('kernels.json', JSON.stringify(report, plain, 1)));
  resetButton.addEventListener('click', () => {
    editor.text = shipped;
    keep(shipped);
    byId('errors', HTMLElement).replaceChildren();
    showOutcomes([]);
    for (const id of ['times', 'verdict']) byId(id, HTMLElement).textContent = '';
    byId('source', HTMLElement).focus();
  });
  if (isAutomatic && (await runEverything(Math.max(1, Number(parameters.get('every') ?? 1) || 1)))) {
    const { adapter, passed, left_out, seconds, outcomes } = /** @type {any} */ (report);
    const failed = outcomes
      .filter((/** @type {Outcome} */ it) => it.outcome === 'failed')
      .map((/** @type {Outcome} */ it) => `${it.title}, ${it.variant}: ${worstOf(it)}`);
    result({ adapter, passed, failed, left_out, seconds });
  }
}

start().catch(refuse);
