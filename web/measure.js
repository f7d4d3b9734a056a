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

/** What the probes do. @type {Record<keyof Probes, string>} */
const PROBES = { arithmetic: 'arithmetic', copy: 'copying' };

/** Measurements a figure, of which the median counts: fewer on the CPU, where one takes seconds. @param {boolean} isSoftware */
const samplesOf = isSoftware => (isSoftware ? 3 : 5);

/** Random numbers that are drawn and uploaded at a time. */
const PIECE = 2 ** 20;
/** So many such uploads may wait: browsers keep a copy of each until the GPU has it. */
const WAITING = 16;

/** Random numbers for all inputs, parameters and state. @param {Session} session @param {Plan} plan */
async function fill(session, plan) {
  let seed = 0;
  for (const { name, shape, tensors = [] } of plan.buffers) {
    const all = [...(name && shape ? [{ name, shape }] : []), ...tensors];
    for (const it of all) {
      const { buffer, offset } = session.place(it.name),
        count = elements(it.shape);
      for (let at = 0; at < count; at += PIECE) {
        const numbers = uniform(Math.min(PIECE, count - at), -1, 1, seed++);
        session.device.queue.writeBuffer(session.buffers[buffer], offset + 4 * at, numbers);
        if (seed % WAITING === 0) await session.wait();
      }
    }
  }
  // Nothing is timed while uploads go on.
  await session.wait();
}

/**
 * Does `work` with a session full of random numbers. What the device holds against it is thrown.
 * @template T
 * @param {GPUDevice} device @param {Plan} plan @param {Shaders} shader @param {(session: Session) => Promise<T>} work
 */
async function withSession(device, plan, shader, work) {
  const session = await Session.open(device, plan, { shader });
  try {
    const scopes = /** @type {GPUErrorFilter[]} */ (['validation', 'out-of-memory']);
    scopes.forEach(scope => device.pushErrorScope(scope));
    let done, errors;
    try {
      await fill(session, plan);
      done = await work(session);
    } finally {
      // The last scope first.
      errors = await Promise.all(scopes.map(() => device.popErrorScope()));
    }
    const [memory, invalid] = errors;
    if (memory) throw new Refusal(`The GPU has not enough memory for '${plan.name}'.`);
    if (invalid) throw new Error(invalid.message);
    return done;
  } finally {
    session.destroy();
  }
}

/** Seconds of a run of a plan. @param {GPUDevice} device @param {Plan} plan @param {Shaders} shader @param {number} samples */
function secondsOf(device, plan, shader, samples) {
  return withSession(device, plan, shader, session => session.time({ samples }));
}

/**
 * Share of the binding ceiling that work reaches in these seconds: `Ceiling::share`.
 * @param {Ceiling} ceiling @param {{flops: number, bytes: number}} cost @param {number} seconds
 */
function shareOfCeiling({ gflops, gbps }, { flops, bytes }, seconds) {
  return Math.max((flops * 1e-9) / gflops, (bytes * 1e-9) / gbps) / seconds;
}

/**
 * @param {GPUDevice} device @param {KernelWork} work @param {Ceiling} ceiling @param {Shaders} shader @param {number} samples
 * @returns {Promise<KernelTime>}
 */
async function measureKernel(device, work, ceiling, shader, samples) {
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
    share: shareOfCeiling(ceiling, work, seconds),
    count,
  };
}

/**
 * @param {GPUDevice} device @param {NetworkWork} work @param {Plan} plan @param {Shaders} shader @param {number} samples
 * @returns {Promise<NetworkTime>}
 */
function measureNetwork(device, { name, size, batch, pass, bytes, dispatches }, plan, shader, samples) {
  return withSession(device, plan, shader, async session => {
    const seconds = await session.time({ samples });
    const start = performance.now();
    session.run();
    const host = (performance.now() - start) / 1e3;
    await session.wait();
    return { name, size, batch, pass, seconds, peak_bytes: bytes, dispatches, host_seconds: host, slow_share: null };
  });
}

/**
 * The adapter as `AdapterReport` of src/gpu/adapter.rs.
 * @param {GPUAdapter} adapter @param {GPUDevice} device its limits are what kernels may rely on
 * @param {string} name as its owner knows it, or the browser
 */
function adapterReport(adapter, device, name) {
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
 * Measures ceilings, kernels and networks. Kernels come by the time that they should take, the longest first. What does not fit
 * this GPU, or what its driver refuses, is left out. A GPU without memory for the copy that should be measured gets the smaller
 * one that is meant for CPUs.
 * @param {{adapter: GPUAdapter, device: GPUDevice}} gpu @param {Benchmark} benchmark
 * @param {{work: NetworkWork, plan: Plan}[]} networks
 * @param {{name: string, shader: Shaders, samples?: number, turn?: (text: string, fraction: number) => Promise<void> | void,
 *   onReport?: (report: Report, leftOut: LeftOut[]) => void}} options `samples` are the measurements a figure; `turn` is called
 *   before each piece of work and ends all by throwing; `onReport` hears of what there is so far
 */
export async function measure({ adapter, device }, benchmark, networks, options) {
  const { name, shader, samples = samplesOf(isSoftware(adapter)), turn, onReport } = options;
  /** @type {LeftOut[]} */
  const leftOut = [];
  const all = 2 + benchmark.kernels.length + 10 * networks.length;
  let done = 0,
    isLost = false;
  device.lost.then(() => {
    isLost = true;
  });
  /**
   * Does one piece of work, or says in `leftOut` why not.
   * @template T
   * @param {string} what @param {Plan} plan @param {number} weight @param {() => Promise<T>} work
   * @returns {Promise<T | undefined>}
   */
  const attempt = async (what, plan, weight, work) => {
    await turn?.(`Measuring ${what}.`, done / all);
    let why = whatIsMissing(adapter, plan),
      found;
    if (!why) {
      try {
        found = await work();
      } catch (error) {
        why = error instanceof Error ? error.message : String(error);
      }
      // Promises of a lost device may end before the news of its loss.
      await new Promise(resolve => setTimeout(resolve));
      if (isLost) throw new Refusal(`The GPU was lost while ${what} was measured: reload the page.`);
    }
    if (why) leftOut.push({ what, why });
    done += weight;
    return found;
  };
  /** Seconds of a probe, and the probe: the smaller one where the other does not fit. @param {keyof Probes} kind */
  const probe = async kind => {
    const sizes = isSoftware(adapter) ? [benchmark.ceilings.cpu] : [benchmark.ceilings.gpu, benchmark.ceilings.cpu];
    for (const [i, { [kind]: of }] of sizes.entries()) {
      const what = `the ceiling of ${PROBES[kind]}`, { plan } = of;
      const seconds = await attempt(what, plan, i === 0 ? 1 : 0, () => secondsOf(device, plan, shader, samples));
      if (seconds !== undefined) return { seconds, flops: of.flops, bytes: of.bytes };
      const last = leftOut[leftOut.length - 1];
      if (i + 1 === sizes.length) throw new Refusal(`No ceiling of ${PROBES[kind]} can be measured here. ${last.why}`);
      last.why += ' The smaller one for CPUs was measured in its stead.';
    }
    throw new Error('There is no probe.');
  };
  const arithmetic = await probe('arithmetic'),
    copy = await probe('copy');
  const ceiling = { gflops: (arithmetic.flops / arithmetic.seconds) * 1e-9, gbps: (copy.bytes / copy.seconds) * 1e-9 };
  /** @type {Report} */
  const report = {
    adapter: adapterReport(adapter, device, name),
    settings: { ...benchmark.settings, samples },
    ceiling,
    kernels: [],
    networks: [],
  };
  onReport?.(report, leftOut);
  const times = (/** @type {Work} */ { flops, bytes }) => Math.max(flops / ceiling.gflops, bytes / ceiling.gbps);
  for (const work of [...benchmark.kernels].sort((a, b) => times(b) - times(a))) {
    const what = `${work.operator} ${work.pass} ${work.case}, ${work.variant}`;
    const found = await attempt(what, work.plan, 1, () => measureKernel(device, work, ceiling, shader, samples));
    if (found) report.kernels.push(found);
    onReport?.(report, leftOut);
  }
  for (const { work, plan } of networks) {
    const what = `${work.name}, ${work.pass}, batch ${work.batch}`;
    const found = await attempt(what, plan, 10, () => measureNetwork(device, work, plan, shader, samples));
    if (found) report.networks.push(found);
    onReport?.(report, leftOut);
  }
  return { report, leftOut };
}
