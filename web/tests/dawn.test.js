// The bundle in node with Dawn, the WebGPU of Chrome: every shader through its compiler, cases of kernels, an inference and a
// training step. DITN_EVERY=1 runs all cases, not every 8th.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { casesOf, runAll } from '../cases.js';
import { checkInference, checkTraining } from '../checks.js';
import { Session, ShaderError, adapterName, openDevice, whatIsMissing } from '../runtime.js';
import { adapter as find, json, shader, shaders, tensors } from './bundle.js';

const every = Number(process.env.DITN_EVERY ?? 8);
const bundle = json('bundle.json'), kernels = json(bundle.kernels);
const found = await find();
const skip = found ? false : 'Dawn takes no Vulkan driver of this machine (VK_ICD_FILENAMES names another)';
if (found) console.log(`adapter: ${adapterName(found)}`);

/** A device for one plan of those, the last by default, on an adapter of its own. */
async function open(plans, which = plans.length - 1) {
  const adapter = await find();
  return { adapter, ...await openDevice(adapter, plans.slice(which, which + 1)) };
}

test('every shader compiles, with the constants of every case', { skip }, async () => {
  const { device } = await open([json(bundle.inference.plans.at(-1))]);
  const used = new Map();
  for (const { variant } of casesOf(kernels)) {
    for (const { kernel, constants, features = [] } of variant.plan.pipelines) {
      if (features.every(feature => device.features.has(feature))) used.set(`${kernel} ${JSON.stringify(constants)}`, { kernel, constants, features });
    }
  }
  const modules = new Map(), failed = [];
  for (const { kernel, constants, features } of used.values()) {
    const code = features.map(feature => `enable ${feature}; `).join('') + shader(kernel);
    const module = modules.get(kernel) ?? modules.set(kernel, device.createShaderModule({ code })).get(kernel);
    const error = await device.createComputePipelineAsync({ layout: 'auto', compute: { module, entryPoint: 'main', constants } }).then(() => undefined, error => error.message);
    if (error) failed.push(`${kernel} ${JSON.stringify(constants)}: ${error}`);
  }
  console.log(`${used.size} pipelines of ${modules.size} kernels`);
  assert.deepEqual(failed, []);
  // What no case runs here needs subgroups, which this adapter may lack.
  for (const kernel of shaders().filter(kernel => !modules.has(kernel))) {
    const code = (shader(kernel).includes('subgroup') ? 'enable subgroups; ' : '') + shader(kernel);
    if (code.startsWith('enable') && !device.features.has('subgroups')) continue;
    const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
    assert.deepEqual(messages.map(({ message }) => message), [], kernel);
  }
  device.destroy();
});

test(`kernels give what their references do (every ${every} of the cases)`, { skip }, async () => {
  const { adapter, device } = await open(casesOf(kernels).map(({ variant }) => variant.plan), 0);
  const outcomes = await runAll({ adapter, device }, kernels, tensors(kernels.tensors), { shader, every });
  const count = outcome => outcomes.filter(it => it.outcome === outcome).length;
  console.log(`${count('passed')} passed, ${count('failed')} failed, ${count('left out')} left out`);
  const failed = outcomes.filter(({ outcome }) => outcome === 'failed');
  assert.deepEqual(failed.map(({ title, variant, error, message }) => `${title}, ${variant}: ${message ?? error}`), []);
  assert.ok(count('passed') > 0);
  device.destroy();
});

test('a kernel that is broken fails its cases, and one that does not compile says where', { skip }, async () => {
  const { adapter, device } = await open(casesOf(kernels).map(({ variant }) => variant.plan), 0);
  const relu = edit => runAll({ adapter, device }, kernels, tensors(kernels.tensors),
    { kernel: 'relu/forward', shader: kernel => kernel === 'relu/forward' ? edit(shader(kernel)) : shader(kernel) });
  const outcomes = async edit => (await relu(edit)).map(({ outcome }) => outcome);
  assert.ok((await outcomes(source => source)).every(outcome => outcome === 'passed'));
  assert.ok((await outcomes(source => source.replace('max(', 'min('))).every(outcome => outcome === 'failed'));
  const [{ message }] = await relu(source => source.replace('override ELEMENTS: u32;', 'override ELEMENTS: u33;'));
  assert.match(message, /relu\/forward does not compile\. Line \d+: /);
  device.destroy();
});

for (const [number, file] of bundle.inference.plans.entries()) {
  const plan = json(file), reason = skip || whatIsMissing(found, plan) || false;
  test(`an inference gives the program's outputs: ${plan.target}`, { skip: reason }, async () => {
    const { device } = await open(bundle.inference.plans.map(json), number);
    const { weights, vectors } = bundle.inference;
    const { passed, outputs } = await checkInference(device, plan, tensors(weights.file), tensors(vectors), { shader });
    console.log(outputs.map(({ name, absolute }) => `${name} ${absolute.toExponential(1)}`).join(', '));
    assert.ok(passed, JSON.stringify(outputs, null, 1));
    device.destroy();
  });
}

test("a training step gives the program's tensors", { skip }, async () => {
  const { training } = bundle, plan = json(training.plans[training.loss].at(-1));
  const { device } = await open([plan]);
  const checked = await checkTraining(device, plan, training, tensors(training.vectors), { shader });
  const worst = checked.tensors.reduce((worst, it) => it.kind !== 'parameter' && it.distance > worst.distance ? it : worst, { distance: 0 });
  console.log(`${checked.tensors.length} tensors, the furthest ${worst.name} by ${worst.distance.toExponential(1)} of its norm`);
  assert.ok(checked.passed, JSON.stringify(checked, null, 1).slice(0, 3000));
  device.destroy();
});

test('a limit that is missing is named', { skip }, async () => {
  const plan = structuredClone(json(bundle.inference.plans.at(-1)));
  plan.requires.limits.maxStorageBufferBindingSize = 2 ** 50;
  await assert.rejects(open([plan]), /needs the limit maxStorageBufferBindingSize to be 1125899906842624, and this browser allows \d+/);
  plan.format = 99;
  await assert.rejects(open([plan]), /format 99, and this page reads format 1/);
  const unknown = { ...json(bundle.inference.plans.at(-1)), requires: { features: ['wings'], limits: {} } };
  await assert.rejects(open([unknown]), /needs the feature 'wings'/);
  assert.ok(Session && ShaderError);
});
