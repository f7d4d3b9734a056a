// @ts-check
// Measures what `benchmark.json` lists, for a report that `ditn bench --compare` reads. Needs no page.

import { uniform } from './numbers.js';
import { Refusal, Session, elements, isSoftware, whatIsMissing } from './runtime.js';

/**
 * @typedef {import('./runtime.js').Plan} Plan
 * @typedef {{flops: number, bytes: number, plan: Plan}} Work
 * @typedef {{arithmetic: Work, copy: Work}} Probes
 * @typedef {Work & {operator: string, pass: string, case: string, variant: string, count: number}} KernelWork
 * @typedef {{name: string, size: [number, number], batch: number, pass: string, plan: string, bytes: number, download: number,
 *   dispatches: number, flops: number, ask: boolean}} NetworkWork
 * @typedef {{settings: Record<string, any>, ceilings: {gpu: Probes, cpu: Probes}, kernels: KernelWork[],
 *   networks: NetworkWork[]}} Benchmark what `benchmark.json` holds
 * @typedef {{gflops: number, gbps: number}} Ceiling 10^9 operations and 10^9 bytes a second
 * @typedef {{operator: string, pass: string, case: string, variant: string, seconds: number, gflops: number, gbps: number,
 *   share: number, count: number}} KernelTime as in src/bench/mod.rs
 * @typedef {{name: string, size: [number, number], batch: number, pass: string, seconds: number, peak_bytes: number,
 *   dispatches: number, host_seconds: number, slow_share: null}} NetworkTime as in src/bench/mod.rs
 * @typedef {{what: string, why: string}} LeftOut
 * @typedef {{adapter: Record<string, any>, settings: Record<string, any>, ceiling: Ceiling, kernels: KernelTime[],
 *   networks: NetworkTime[]}} Report as in src/bench/mod.rs
 * @typedef {(kernel: string) => Promise<string> | string} Shaders
 */

/** Measurements a figure, of which the median counts: fewer on the CPU, where one takes seconds. @param {boolean} isSoftware */
const samplesOf = isSoftware => (isSoftware ? 3 : 5);

/** The probes that suit an adapter. @param {Benchmark} benchmark @param {GPUAdapter} adapter */
export function probesFor({ ceilings }, adapter) {
  return isSoftware(adapter) ? ceilings.cpu : ceilings.gpu;
}

/**
 * A session with random numbers in all inputs, parameters and state.
 * @param {GPUDevice} device @param {Plan} plan @param {Shaders} shader
 */
export async function openFilled(device, plan, shader) {
  const session = await Session.open(device, plan, { shader });
  try {
    let seed = 0;
    for (const { name, shape, tensors = [] } of plan.buffers) {
      const all = [...(name && shape ? [{ name, shape }] : []), ...tensors];
      for (const it of all) session.write(it.name, uniform(elements(it.shape), -1, 1, seed++));
    }
    // Frees what the browser holds of the uploads before anything is timed.
    await session.wait();
  } catch (error) {
    session.destroy();
    throw error;
  }
  return session;
}

/** Seconds of a run of a plan. @param {GPUDevice} device @param {Plan} plan @param {Shaders} shader @param {number} samples */
async function secondsOf(device, plan, shader, samples) {
  const session = await openFilled(device, plan, shader);
  try {
    return await session.time({ samples });
  } finally {
    session.destroy();
  }
}

/**
 * The most that the adapter does of arithmetic and of copying alone.
 * @param {GPUDevice} device @param {Probes} probes @param {Shaders} shader @param {number} samples @returns {Promise<Ceiling>}
 */
export async function measureCeiling(device, { arithmetic, copy }, shader, samples) {
  return {
    gflops: (arithmetic.flops / (await secondsOf(device, arithmetic.plan, shader, samples))) * 1e-9,
    gbps: (copy.bytes / (await secondsOf(device, copy.plan, shader, samples))) * 1e-9,
  };
}

/**
 * Share of the binding ceiling that work reaches in these seconds: `Ceiling::share`.
 * @param {Ceiling} ceiling @param {{flops: number, bytes: number}} cost @param {number} seconds
 */
export function shareOf({ gflops, gbps }, { flops, bytes }, seconds) {
  return Math.max((flops * 1e-9) / gflops, (bytes * 1e-9) / gbps) / seconds;
}

/**
 * @param {GPUDevice} device @param {KernelWork} work @param {Ceiling} ceiling @param {Shaders} shader @param {number} samples
 * @returns {Promise<KernelTime>}
 */
export async function measureKernel(device, work, ceiling, shader, samples) {
  const { operator, pass, case: shapes, variant, count, flops, bytes, plan } = work;
  const seconds = await secondsOf(device, plan, shader, samples);
  return {
    operator,
    pass,
    case: shapes,
    variant,
    seconds,
    gflops: (flops / seconds) * 1e-9,
    gbps: (bytes / seconds) * 1e-9,
    share: shareOf(ceiling, work, seconds),
    count,
  };
}

/**
 * @param {GPUDevice} device @param {NetworkWork} work @param {Plan} plan @param {Shaders} shader @param {number} samples
 * @returns {Promise<NetworkTime>}
 */
export async function measureNetwork(device, { name, size, batch, pass, bytes, dispatches }, plan, shader, samples) {
  const session = await openFilled(device, plan, shader);
  try {
    const seconds = await session.time({ samples });
    const start = performance.now();
    session.run();
    const host = (performance.now() - start) / 1e3;
    await session.wait();
    return { name, size, batch, pass, seconds, peak_bytes: bytes, dispatches, host_seconds: host, slow_share: null };
  } finally {
    session.destroy();
  }
}

/**
 * The adapter as `AdapterReport` of src/gpu/adapter.rs.
 * @param {GPUAdapter} adapter @param {GPUDevice} device its limits are what kernels may rely on
 * @param {string} name as its owner knows it, or the browser
 */
export function adapterReport(adapter, device, name) {
  const { info, features } = adapter,
    { limits } = device,
    software = isSoftware(adapter);
  const subgroups = device.features.has('subgroups');
  return {
    name,
    backend: 'webgpu',
    kind: software ? 'CPU' : 'other',
    driver: [info.vendor, info.architecture].filter(Boolean).join(' '),
    driver_info: globalThis.navigator?.userAgent ?? '',
    capabilities: {
      subgroups,
      subgroup_min_size: subgroups ? (info.subgroupMinSize ?? 0) : 0,
      subgroup_max_size: subgroups ? (info.subgroupMaxSize ?? 0) : 0,
      shader_f16: features.has('shader-f16'),
      timestamps: false, // between the dispatches of a pass
      pipeline_cache: false,
      max_binding_bytes: limits.maxStorageBufferBindingSize,
      max_buffer_bytes: limits.maxBufferSize,
      workgroup_memory: limits.maxComputeWorkgroupStorageSize,
      max_workgroup_invocations: limits.maxComputeInvocationsPerWorkgroup,
      max_storage_buffers: limits.maxStorageBuffersPerShaderStage,
      is_cpu: software,
    },
  };
}

/**
 * Measures ceilings, kernels and networks. Kernels come by the time that they should take, the longest first.
 * @param {{adapter: GPUAdapter, device: GPUDevice}} gpu @param {Benchmark} benchmark
 * @param {{work: NetworkWork, plan: Plan}[]} networks
 * @param {{name: string, shader: Shaders, turn?: (text: string, fraction: number) => Promise<void> | void,
 *   onReport?: (report: Report, leftOut: LeftOut[]) => void}} options `onReport` hears of what there is so far
 */
export async function measure({ adapter, device }, benchmark, networks, { name, shader, turn, onReport }) {
  /** @type {LeftOut[]} */
  const leftOut = [];
  const samples = samplesOf(isSoftware(adapter));
  const all = 2 + benchmark.kernels.length + 10 * networks.length;
  let done = 0,
    isLost = false;
  device.lost.then(() => {
    isLost = true;
  });
  await turn?.('Measuring the ceilings: arithmetic and copying.', 0);
  const ceiling = await measureCeiling(device, probesFor(benchmark, adapter), shader, samples);
  /** @type {Report} */
  const report = {
    adapter: adapterReport(adapter, device, name),
    settings: { ...benchmark.settings, samples },
    ceiling,
    kernels: [],
    networks: [],
  };
  onReport?.(report, leftOut);
  done += 2;
  /** @param {string} what @param {Plan} plan @param {number} weight @param {() => Promise<void>} work */
  const attempt = async (what, plan, weight, work) => {
    await turn?.(`Measuring ${what}.`, done / all);
    const why = whatIsMissing(adapter, plan);
    if (why) leftOut.push({ what, why });
    else {
      try {
        await work();
      } catch (error) {
        // Promises of a lost device may end before the news of its loss.
        await new Promise(resolve => setTimeout(resolve));
        if (isLost || !(error instanceof Refusal)) throw error;
        leftOut.push({ what, why: error.message });
      }
    }
    done += weight;
    onReport?.(report, leftOut);
  };
  const times = (/** @type {Work} */ { flops, bytes }) => Math.max(flops / ceiling.gflops, bytes / ceiling.gbps);
  for (const work of [...benchmark.kernels].sort((a, b) => times(b) - times(a))) {
    await attempt(`${work.operator} ${work.pass} ${work.case}, ${work.variant}`, work.plan, 1, async () => {
      report.kernels.push(await measureKernel(device, work, ceiling, shader, samples));
    });
  }
  for (const { work, plan } of networks) {
    await attempt(`${work.name}, ${work.pass}, batch ${work.batch}`, plan, 10, async () => {
      report.networks.push(await measureNetwork(device, work, plan, shader, samples));
    });
  }
  return { report, leftOut };
}
