// The page of the benchmark without the page, in node with Dawn: its report is one that `ditn bench --compare` reads.
// DITN_PROGRAM is the program.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { measure } from '../measure.js';
import { adapterName, openDevice } from '../runtime.js';
import { adapter as find, json, shader } from './bundle.js';

const program = process.env.DITN_PROGRAM ?? 'ditn';
const all = json(json('bundle.json').benchmark);
const smallest = (list, count) => [...list].sort((a, b) => a.bytes - b.bytes).slice(0, count);
const kernels = smallest(all.kernels, 3), networks = smallest(all.networks, 1).map(work => ({ work, plan: json(work.plan) }));
const skip = await find() ? false : 'Dawn takes no Vulkan driver of this machine (VK_ICD_FILENAMES names another)';
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'ditn-benchmark-'));
after(() => fs.rmSync(scratch, { recursive: true }));

/**
 * Measures with one sample a figure: compiling is what takes long on a CPU.
 * @param {(adapter: any) => any} [disguise] what `measure` takes the adapter for
 */
async function run(ceilings, kernels, networks, { disguise = adapter => adapter, ...options }) {
  const adapter = await find(), plans = [...Object.values(all.ceilings.gpu), ...kernels, ...networks].map(({ plan }) => plan);
  const { device } = await openDevice(adapter, plans), gpu = { adapter: disguise(adapter), device };
  try {
    return await measure(gpu, { ...all, ceilings, kernels }, networks, { name: adapterName(adapter), shader, samples: 1, ...options });
  } finally {
    device.destroy();
  }
}

test('a report of kernels and a network is one that the program compares', { skip }, async () => {
  let heard = 0;
  const { cpu } = all.ceilings;
  const { report, leftOut } = await run({ gpu: cpu, cpu }, kernels, networks, { onReport: () => heard++ });
  assert.deepEqual(leftOut, []);
  assert.equal(heard, 1 + kernels.length + networks.length);
  assert.equal(report.settings.samples, 1);
  assert.ok(report.ceiling.gflops > 0 && report.ceiling.gbps > 0);
  assert.equal(report.kernels.length, kernels.length);
  for (const { seconds, gflops, gbps, share } of report.kernels) assert.ok([seconds, gflops, gbps, share].every(x => x > 0 && x < Infinity));
  assert.ok(report.networks[0].seconds > 0 && report.networks[0].host_seconds > 0);
  const files = ['a.json', 'b.json'].map(name => path.join(scratch, name));
  for (const file of files) fs.writeFileSync(file, JSON.stringify(report, null, 1));
  const compared = JSON.parse(execFileSync(program, ['bench', '--json', '--compare', ...files], { stdio: ['ignore', 'pipe', 'inherit'] }).toString());
  assert.equal(compared.length, kernels.length + networks.length);
  assert.ok(compared.every(({ speedup }) => speedup === 1), JSON.stringify(compared));
});

test('what does not fit or is refused is left out; the copy is then a smaller one', { skip }, async () => {
  const { cpu } = all.ceilings, gpu = structuredClone(cpu);
  const [broken, large] = structuredClone(kernels), [{ kernel: spoiled }] = broken.plan.pipelines;
  gpu.copy.plan.requires = large.plan.requires = { features: [], limits: { maxBufferSize: 2 ** 60 } };
  const spoil = source => source.replace(/@workgroup_size\([^)]*\)/, '@workgroup_size(1 << 20)');
  const { report, leftOut } = await run({ gpu, cpu }, [large, broken], [], {
    shader: kernel => kernel === spoiled ? spoil(shader(kernel)) : shader(kernel),
    // A name that is no software's, so that the larger ceilings are its.
    disguise: adapter => ({ limits: adapter.limits, features: adapter.features, info: { description: 'a GPU' } }),
  });
  assert.ok(report.ceiling.gbps > 0);
  assert.deepEqual(report.kernels, []);
  const [copy, ...others] = leftOut.map(({ why }) => why);
  assert.match(copy, /needs the limit maxBufferSize.* The smaller one for CPUs was measured in its stead\./);
  assert.equal(others.length, 2);
  assert.ok(others.some(why => /needs the limit maxBufferSize/.test(why)), JSON.stringify(leftOut));
  assert.ok(others.some(why => why.includes(spoiled)), JSON.stringify(leftOut));
});
