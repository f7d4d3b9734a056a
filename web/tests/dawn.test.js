// The bundle in node with Dawn, the WebGPU of Chrome: every shader through its compiler, cases of kernels, an inference and a
// training step. DITN_EVERY=1 runs all cases, not every 8th.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { casesOf, runAll } from '../cases.js';
import { checkInference, checkTraining } from '../checks.js';
import { adapterName, openDevice, whatIsMissing } from '../runtime.js';
import { adapter as find, compiler, json, shader, shaders, tensors } from './bundle.js';

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

test('every shader compiles within the guaranteed limits, with the constants of every case', async () => {
  const device = await (await compiler()).requestDevice({ requiredFeatures: ['subgroups', 'shader-f16'] });
  const pipelines = new Map(), modules = new Map(), failed = [];
  for (const { variant } of casesOf(kernels)) {
    for (const { kernel, constants } of variant.plan.pipelines) pipelines.set(`${kernel} ${JSON.stringify(constants)}`, { kernel, constants });
  }
  const compile = async (kernel, edit = code => code) => {
    const source = shader(kernel), code = edit((/^[^/\n]*subgroup/m.test(source) ? 'enable subgroups; ' : '') + source);
    const module = device.createShaderModule({ label: kernel, code });
    const { messages } = await module.getCompilationInfo();
    failed.push(...messages.map(({ lineNum, message }) => `${kernel}:${lineNum}: ${message}`));
    return module;
  };
  device.pushErrorScope('validation');
  for (const kernel of shaders()) {
    modules.set(kernel, await compile(kernel));
    if (/^alias \w+ = f32;/m.test(shader(kernel))) await compile(kernel, code => `enable f16; ${code.replace(/^(alias \w+ = )f32;/gm, '$1f16;')}`);
  }
  for (const { kernel, constants } of pipelines.values()) {
    const compute = { module: modules.get(kernel), entryPoint: 'main', constants };
    await device.createComputePipelineAsync({ layout: 'auto', compute }).catch(error => failed.push(`${kernel} ${JSON.stringify(constants)}: ${error.message}`));
  }
  await device.popErrorScope();
  console.log(`${pipelines.size} pipelines of ${modules.size} kernels`);
  assert.deepEqual(failed, []);
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
  assert.ok((await outcomes(source => source.replace('Y(max(', 'Y(min('))).every(outcome => outcome === 'failed'));
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
});
