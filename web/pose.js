// @ts-check
// The page that finds joints in a picture or before the camera.

import {
  byId, complain, download, element, getBundle, getJson, getTensors, holdFocus, open, page, parameters, refuse, result, status,
} from './page.js';
import { BoxEditor, firstBox } from './box.js';
import { Camera } from './camera.js';
import { ATTENTION, COLOURS, UNIT, coloursOf, drawHeat, drawSkeleton, sharp, softmax } from './draw.js';
import { certainty, emptyRows, fillRows, inFile, mean, toJson } from './joints.js';
import { Maps } from './maps.js';
import { Picture, bundledPicture, decode, fetchPicture, parseBox, pictureIn, scaled, wholeOf } from './picture.js';
import { Predictor } from './predict.js';
import { Refusal } from './runtime.js';

/**
 * @typedef {import('./page.js').Bundle} Bundle
 * @typedef {import('./picture.js').Box} Box
 * @typedef {import('./predict.js').Pose} Pose
 */

/** People of the example: rows and columns of the sheet of synthetic people, and whom of them the box is around. */
const EXAMPLE = { columns: 4, rows: 2, column: 1, row: 1 };
/** Most of the window's height that the picture takes. */
const TALLEST = 0.7;
/** Frames that the time of a frame is the median of. */
const FRAMES = 15;
/** The name of the camera's picture. */
const CAMERA = 'camera';
/** Milliseconds of rest after which a result is read out. */
const REST = 700;

page('pose');
const stage = byId('stage', HTMLDivElement), view = byId('view', HTMLCanvasElement), file = byId('file', HTMLInputElement);
const least = byId('least', HTMLInputElement), names = byId('names', HTMLInputElement);
const cameraButton = byId('camera', HTMLButtonElement), switchButton = byId('switch', HTMLButtonElement);
const editor = new BoxEditor(stage, ['box-left', 'box-top', 'box-width', 'box-height'], () => { draw(); request(); });

/** @type {Bundle} */ let bundle;
/** @type {ReturnType<typeof coloursOf>} */ let colours;
/** @type {Predictor | undefined} */ let predictor;
/** @type {Camera | undefined} */ let camera;
/** What is shown. @type {{picture: Picture, name: string} | undefined} */ let shown;
/** @type {import('./joints.js').Found | undefined} */ let last;
/** @type {Maps[]} */ let grids = [];
/** @type {number[]} */ const times = [];
let isWanted = false, isWorking = false, hasFailed = false, adapter = '', lastFrame = NaN, isFirst = true;
/** Milliseconds from the page's beginning to its first pose. */
let opened = NaN;
/** Of pictures that were asked for, the newest: slower ones that were asked for before are dropped. */
let asked = 0;

main().catch(refuse);

async function main() {
  status('Loading the network', NaN);
  bundle = await getBundle();
  const { network, inference } = bundle;
  colours = coloursOf(network.joints, network.bones);
  prepare();
  const picture = parameters.get('picture');
  const shows = picture === null ? showExample() : load(() => fetchPicture(picture), picture, parseBox(parameters.get('box')));
  const { file, bytes: size } = inference.weights;
  const weights = getTensors(file, (bytes, total) => status('Loading the network', Math.min(1, bytes / (total ?? size))));
  weights.catch(() => { /* whoever awaits it below hears of it */ });
  /** @type {import('./runtime.js').Plan[]} */
  const plans = await Promise.all(inference.plans.map(getJson));
  const { name, device, plans: taken } = await open(plans, { onLost: () => {
    predictor = undefined;
    stopCamera('');
  } });
  adapter = name;
  const tensors = await weights;
  predictor = await Predictor.open(device, taken, {
    network, tensors, onProgress: (done, all) => status(`Compiling the kernels: ${done} of ${all}`, done / all),
  });
  const { plan } = predictor.session, gpus = plan.target === 'default' ? 'every GPU that has WebGPU' : `GPUs with ${plan.target}`;
  describe([
    ['Network', `${network.name}: ${network.description}`],
    ['Input', `${network.size[1]} x ${network.size[0]} pixels${network.flip_test ? ', the crop and its mirror image' : ''}`],
    ['Plan', `${plan.name}, for ${gpus}: ${plan.dispatches.length} dispatches, ${plan.pipelines.length} pipelines`],
    ['Weights', `${network.parameters.toLocaleString('en')} parameters, `
      + `${(size / 1e6).toFixed(1)} MB as ${inference.weights.dtype}`],
    ['GPU', adapter],
  ]);
  byId('time', HTMLButtonElement).disabled = false;
  status('');
  await shows;
  request();
}

/** Builds what depends on the network's joints, and connects buttons, pasting and dropping. */
function prepare() {
  const { joints, bones, heat_map: heatMap, heat_range: range } = bundle.network;
  tableBody().replaceChildren(...emptyRows(joints));
  if (certainty(1, bundle.network) === undefined) {
    document.querySelectorAll('.key.unsure, .field:has(#least)').forEach(mark => mark.toggleAttribute('hidden', true));
  }
  for (const [side, colour] of Object.entries(COLOURS)) document.documentElement.style.setProperty(`--skeleton-${side}`, colour);
  const aspect = heatMap[1] / heatMap[0], between = bones.map(([a, b]) => `${joints[a]} to ${joints[b]}`);
  const onChoice = (/** @type {Maps} */ chosen) => {
    grids.filter(other => other !== chosen).forEach(other => other.choose(-1));
    draw();
  };
  grids = [
    new Maps(byId('heat-maps', HTMLDivElement), joints, { what: 'Heat map', all: 'all joints', range, aspect }, onChoice),
    new Maps(byId('bone-maps', HTMLDivElement), between, { what: 'Bone map', all: 'all bones', range: UNIT, aspect }, onChoice),
    new Maps(byId('attention-maps', HTMLDivElement), joints,
      { what: 'Attention', all: 'all joints', range: ATTENTION, aspect }, onChoice),
  ];

  file.addEventListener('change', () => {
    const [chosen] = file.files ?? [];
    if (chosen) load(() => decode(chosen, `'${chosen.name}'`), chosen.name);
    file.value = '';
  });
  addEventListener('paste', event => {
    const pasted = pictureIn(event.clipboardData);
    if (!pasted) return;
    event.preventDefault();
    load(() => decode(pasted, 'What was pasted'), 'pasted picture');
  });
  const target = document.documentElement;
  addEventListener('dragover', event => {
    event.preventDefault();
    target.classList.add('dropping');
  });
  addEventListener('dragleave', event => { if (event.relatedTarget === null) target.classList.remove('dropping'); });
  addEventListener('drop', event => {
    event.preventDefault();
    target.classList.remove('dropping');
    const dropped = pictureIn(event.dataTransfer);
    if (dropped) load(() => decode(dropped, `'${dropped.name}'`), dropped.name);
    else complain('What was dropped is not a file: save the picture, and drop its file.');
  });
  onClick('paste', () => load(clipboard, 'pasted picture'));
  onClick('example', showExample);
  onClick('camera', () => camera ? stopCamera('The camera is off.') : startCamera());
  onClick('switch', nextCamera);
  onClick('whole', () => {
    if (!shown) return;
    editor.set(wholeOf(shown.picture));
    draw();
    request();
  });
  onClick('copy', async () => {
    try {
      await navigator.clipboard.writeText(json());
      status('The joints are in the clipboard.');
    } catch {
      complain('The browser does not let this page copy: download the JSON.');
    }
  });
  onClick('download', () => download('joints.json', json()));
  onClick('time', timeNetwork);
  names.addEventListener('change', draw);
  least.addEventListener('input', () => {
    byId('least-value', HTMLOutputElement).value = least.valueAsNumber.toFixed(2);
    fillTable();
    draw();
  });
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) stopCamera('The camera was switched off because this tab went to the background. Start it again.');
  });
  new ResizeObserver(() => draw()).observe(stage);
  addEventListener('resize', fit);
}

/** @param {string} id of a button @param {() => unknown} action */
function onClick(id, action) {
  byId(id, HTMLButtonElement).addEventListener('click', () => Promise.resolve(action()).catch(refuse));
}

function tableBody() {
  return byId('joints', HTMLTableElement).tBodies[0];
}

/**
 * Shows a picture and finds its joints. The promise is of whether it is shown: it may not decode, or a newer one was asked for.
 * @param {() => Promise<Picture>} read @param {string} name @param {Box} [box] in pixels of the file's picture
 */
async function load(read, name, box) {
  const number = ++asked;
  try {
    const picture = await read();
    if (number !== asked) return false;
    stopCamera('');
    complain('');
    show(picture, name, box && scaled(box, 1 / picture.shrunk));
    request();
    return true;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (number !== asked) return false;
    complain(error.message);
    if (parameters.has('picture') && isFirst) result({ error: error.message });
    return false;
  }
}

/** @param {Picture} picture @param {string} name @param {Box} [box] */
function show(picture, name, box = firstBox(picture)) {
  shown = { picture, name };
  const { width, height } = picture.file;
  const shrunk = picture.shrunk > 1 ? `, shown and read at ${picture.width} x ${picture.height}` : '';
  byId('source', HTMLParagraphElement).textContent = `${name}: ${width} x ${height} pixels${shrunk}. `
    + 'Or drop a picture anywhere on this page.';
  editor.set(box, picture);
  fit();
}

/** A few of the synthetic people that the bundle has for training. */
async function showExample() {
  const { size, people: { sheet } } = bundle.training, [height, width] = size, { column, row } = EXAMPLE;
  const box = { x: (column + 0.1) * width, y: (row + 0.1) * height, width: 0.8 * width, height: 0.8 * height };
  const isShown = await load(async () => {
    const whole = await bundledPicture(sheet), picture = new Picture(EXAMPLE.columns * width, EXAMPLE.rows * height);
    picture.context.drawImage(whole.canvas, 0, 0);
    return picture;
  }, 'synthetic people', box);
  if (isShown) byId('source', HTMLParagraphElement).append(' A network that was trained on photographs does better on those.');
}

async function clipboard() {
  try {
    for (const item of await navigator.clipboard.read()) {
      const type = item.types.find(type => type.startsWith('image/'));
      if (type) return decode(await item.getType(type), 'What was pasted');
    }
  } catch {
    throw new Refusal('The browser does not let this page read the clipboard by a button: press Ctrl+V, or Command+V.');
  }
  throw new Refusal('There is no picture in the clipboard: copy one, and paste it here.');
}

/** @param {string} [device] */
async function startCamera(device) {
  const restoreFocus = holdFocus(), number = ++asked;
  cameraButton.disabled = true;
  try {
    const started = await Camera.open(device);
    if (document.hidden || number !== asked) return started.stop();
    complain('');
    camera = started;
    started.ended.then(() => { if (camera === started) stopCamera('The camera has stopped. Start it again.'); });
    cameraButton.textContent = 'Stop camera';
    switchButton.hidden = (await Camera.list()).length < 2;
    status('The camera is on. Nothing leaves this page.');
    request();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (number === asked) complain(error.message);
  } finally {
    cameraButton.disabled = false;
    restoreFocus();
  }
}

/** @param {string} message what is said where a camera was on */
function stopCamera(message) {
  if (!camera) return;
  const stopped = camera;
  camera = undefined;
  stopped.stop();
  cameraButton.textContent = 'Start camera';
  switchButton.hidden = true;
  if (message) status(message);
}

async function nextCamera() {
  const devices = await Camera.list(), next = devices[(devices.indexOf(camera?.device ?? '') + 1) % devices.length];
  stopCamera('');
  await startCamera(next);
}

/** Asks for the joints of what is shown. One run at a time: what changes meanwhile is asked for once it has ended. */
function request() {
  isWanted = true;
  if (!isWorking) work().catch(refuse);
}

async function work() {
  isWorking = true;
  try {
    while (predictor && (isWanted || camera)) {
      if (camera) {
        const frame = await camera.frame();
        if (!camera || !frame) continue;
        if (shown?.picture !== frame) show(frame, CAMERA);
      }
      isWanted = false;
      if (shown && predictor) await find(predictor, shown.picture, shown.name);
    }
  } finally {
    isWorking = false;
  }
}

/** @param {Predictor} predictor @param {Picture} picture @param {string} name */
async function find(predictor, picture, name) {
  const { box } = editor;
  let pose;
  try {
    pose = await predictor.find(picture, box);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (picture !== shown?.picture) return;
    hasFailed = true;
    return complain(error.message);
  }
  if (picture !== shown?.picture) return;
  if (hasFailed) complain('');
  hasFailed = false;
  last = { pose, picture, name, box };
  fillTable();
  drawMaps();
  draw();
  byId('copy', HTMLButtonElement).disabled = byId('download', HTMLButtonElement).disabled = false;
  if (Number.isNaN(opened)) {
    // Drivers compile during the first run: the time of a frame is that of the second.
    opened = performance.now();
    byId('opened', HTMLElement).textContent = `${(opened / 1e3).toFixed(1)} s`;
    isWanted = true;
    return;
  }
  fillTimes(pose.milliseconds);
  if (!camera) announce();
  if (isFirst) report(pose, picture);
}

/** @param {Pose} pose @param {Picture} picture */
function report(pose, picture) {
  isFirst = false;
  const { milliseconds } = pose, plan = predictor?.session.plan.name;
  result({ joints: inFile(pose, picture), milliseconds, open_milliseconds: opened, adapter, plan });
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let resting;

/** Says the result once nothing has changed for a while. */
function announce() {
  clearTimeout(resting);
  resting = setTimeout(() => {
    if (!last || camera || last.name === CAMERA) return;
    const { joints, milliseconds } = last.pose, rated = withCertainty(joints);
    if (!rated) return status(`Done in ${shortTime(milliseconds)}.`);
    const sure = rated.filter(joint => joint[2] >= least.valueAsNumber).length;
    const which = `${sure} of ${joints.length} joints have a confidence of at least ${least.valueAsNumber.toFixed(2)}`;
    status(`Done in ${shortTime(milliseconds)}: ${which}, and the mean is ${mean(rated).toFixed(2)}.`);
  }, REST);
}

/** Joints as [x, y, certainty], or undefined where scores do not tell how sure the network is. @param {number[][]} joints */
function withCertainty(joints) {
  const rated = joints.flatMap(([x, y, score]) => {
    const sure = certainty(score, bundle.network);
    return sure === undefined ? [] : [[x, y, sure]];
  });
  return rated.length === joints.length ? rated : undefined;
}

/** @param {number} milliseconds */
function shortTime(milliseconds) {
  if (milliseconds >= 999.5) return `${(milliseconds / 1e3).toFixed(2)} s`;
  return `${milliseconds.toFixed(milliseconds < 9.95 ? 1 : 0)} ms`;
}

function fillTable() {
  if (last) fillRows(tableBody(), last, least.valueAsNumber, bundle.network);
}

function json() {
  return last ? toJson(last, bundle.network) : '{}';
}

/** @param {number} milliseconds */
function fillTimes(milliseconds) {
  times.push(milliseconds);
  if (times.length > FRAMES) times.shift();
  const now = performance.now();
  byId('frame', HTMLElement).textContent = shortTime([...times].sort((a, b) => a - b)[times.length >> 1]);
  byId('rate-row', HTMLElement).hidden = !camera;
  byId('rate', HTMLElement).textContent = now > lastFrame ? (1e3 / (now - lastFrame)).toFixed(1) : '-';
  lastFrame = now;
}

async function timeNetwork() {
  if (!predictor) return;
  const button = byId('time', HTMLButtonElement), restoreFocus = holdFocus();
  button.disabled = true;
  stopCamera('');
  try {
    while (isWorking) await new Promise(resolve => setTimeout(resolve, 20));
    isWorking = true;
    status('Timing the network', NaN);
    const seconds = await predictor.session.time();
    byId('alone', HTMLElement).textContent = shortTime(1e3 * seconds);
    status(`The network alone takes ${shortTime(1e3 * seconds)}: the median of 5 samples.`);
  } finally {
    isWorking = false;
    button.disabled = false;
    restoreFocus();
  }
  if (isWanted) request();
}

function drawMaps() {
  if (!last) return;
  const { picture, pose } = last, { decode, heat_map: size } = bundle.network;
  const heatMaps = decode === 'expectation' ? pose.heatMaps.map(softmax) : pose.heatMaps;
  const peaks = (/** @type {Float32Array[]} */ maps) => maps.map(map => map.reduce((a, b) => Math.max(a, b)).toFixed(2));
  const channels = pose.channelAttention.map(channels => channels.map(value => value.toFixed(2)).join(', '));
  const kinds = [
    { maps: heatMaps, captions: peaks(heatMaps) },
    { maps: pose.boneMaps, captions: channels.length > 0 ? channels : peaks(pose.boneMaps) },
    { maps: pose.spatialAttention, captions: peaks(pose.spatialAttention) },
  ];
  kinds.forEach(({ maps, captions }, i) => {
    if (maps.length > 0) grids[i].draw(picture.canvas, pose.area, maps, size, captions);
    const group = grids[i].place.closest('.kind');
    if (group instanceof HTMLElement) group.hidden = maps.length === 0;
  });
}

/** Gives the picture the room that the window has. */
function fit() {
  if (!shown) return;
  const aspect = shown.picture.width / shown.picture.height;
  stage.style.aspectRatio = String(aspect);
  stage.style.maxWidth = `${Math.round(TALLEST * innerHeight * aspect)}px`;
  editor.set(editor.box);
  draw();
}

/** Draws picture, crop, chosen map and skeleton. */
function draw() {
  if (!shown) return;
  const { picture } = shown, { context, width, height, scale } = sharp(view), factor = width / picture.width;
  context.drawImage(picture.canvas, 0, 0, width, height);
  if (last?.picture !== picture) {
    view.ariaLabel = 'The picture; its joints are not known yet';
    return;
  }
  const { pose, box } = last, { area } = pose;
  const place = scaled({ ...area, x: area.x + 0.5, y: area.y + 0.5 }, factor);
  const chosen = grids.find(grid => grid.chosen >= 0);
  if (chosen?.maps[chosen.chosen]) drawHeat(context, place, chosen.maps[chosen.chosen], bundle.network.heat_map, chosen.range);
  context.lineWidth = scale;
  context.setLineDash([5 * scale, 5 * scale]);
  ['rgb(0 0 0 / 60%)', 'rgb(255 255 255 / 90%)'].forEach((colour, number) => {
    context.strokeStyle = colour;
    context.lineDashOffset = 5 * scale * number;
    context.strokeRect(place.x, place.y, place.width, place.height);
  });
  context.setLineDash([]);
  const rated = withCertainty(pose.joints);
  const joints = (rated ?? pose.joints).map(([x, y, sure]) => [(x + 0.5) * factor, (y + 0.5) * factor, Math.max(sure, 1e-6)]);
  const side = Math.max(box.width, box.height) * factor;
  drawSkeleton(context, joints, bundle.network.bones, colours, {
    width: Math.min(8 * scale, Math.max(2 * scale, side / 70)),
    least: least.valueAsNumber,
    names: names.checked ? bundle.network.joints : undefined,
  });
  const confidence = rated ? `: mean confidence ${mean(rated).toFixed(2)}` : '';
  view.ariaLabel = `The picture with the skeleton over it${confidence}. The table lists the joints.`;
}

/** @param {string[][]} facts */
function describe(facts) {
  byId('network', HTMLDListElement).replaceChildren(...facts.map(([name, value]) =>
    element('div', {}, element('dt', { textContent: name }), element('dd', { textContent: value }))));
}
