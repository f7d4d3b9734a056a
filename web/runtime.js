// @ts-check
// Replays the program's plans through WebGPU, in browsers and in node with Dawn. README.md says what a plan is.

/**
 * @typedef {import('./tensors.js').Tensor} Tensor
 * @typedef {{kind: string, bytes?: number, name?: string, shape?: number[], words?: number[],
 *   tensors?: {name: string, offset: number, shape: number[], role: string}[]}} PlanBuffer
 * @typedef {{kernel: string, constants: Record<string, number>, features?: string[]}} Pipeline
 * @typedef {{pipeline: number, workgroups: number[], bindings: number[][], label: string, once?: boolean,
 *   prints?: number[][]}} Dispatch
 * @typedef {{format: number, name: string, target: string,
 *   requires: {features: string[], subgroup_size?: number, limits: Record<string, number>},
 *   buffers: PlanBuffer[], pipelines: Pipeline[], dispatches: Dispatch[],
 *   outputs: {name: string, buffer: number, offset: number, shape: number[]}[]}} Plan
 */

/** The format of plans that this file reads. */
export const FORMAT = 1;

/** Runs of a plan that are measured together at most. */
const MOST_RUNS = 10000;

/** Something that whoever opened the page should read as it is. */
export class Refusal extends Error {}

/** A kernel that does not compile: the compiler's messages with lines from 1. */
export class ShaderError extends Error {
  /** @param {string} kernel @param {{line: number, column: number, text: string}[]} messages */
  constructor(kernel, messages) {
    super(`${kernel} does not compile. ` + messages.map(({ line, text }) => `Line ${line}: ${text}`).join(' '));
    this.kernel = kernel;
    this.messages = messages;
  }
}

/**
 * Why a plan cannot run on an adapter, in words, or undefined where it can.
 * @param {GPUAdapter} adapter @param {Plan} plan
 */
export function whatIsMissing(adapter, plan) {
  if (plan.format !== FORMAT) {
    return `This bundle has plans of format ${plan.format}, and this page reads format ${FORMAT}: write the folder again with one version of ditn.`;
  }
  const { features, subgroup_size: size, limits } = plan.requires;
  const feature = features.find(feature => !adapter.features.has(/** @type {GPUFeatureName} */ (feature)));
  if (feature) return `The plan '${plan.name}' needs the feature '${feature}', which this browser does not offer on this GPU.`;
  const { subgroupMinSize: least, subgroupMaxSize: most } = adapter.info;
  if (size !== undefined && !(least === size && most === size)) {
    return `The plan '${plan.name}' needs subgroups of ${size}, and this GPU's have ${least === most ? most : `${least} to ${most}`} invocations.`;
  }
  for (const [limit, needed] of Object.entries(limits)) {
    const there = /** @type {any} */ (adapter.limits)[limit];
    if (!(there >= needed))
      return `The plan '${plan.name}' needs the limit ${limit} to be ${needed}, and this browser allows ${there} on this GPU.`;
  }
}

/** An adapter's name as far as the browser tells it. @param {GPUAdapter} adapter */
export function adapterName(adapter) {
  const { description, vendor, architecture, device } = adapter.info ?? {};
  return description || [vendor, architecture, device].filter(Boolean).join(' ') || 'a GPU that the browser does not name';
}

/** Whether an adapter runs on the CPU, as far as its name says. @param {GPUAdapter} adapter */
export function isSoftware(adapter) {
  const { isFallbackAdapter } = /** @type {any} */ (adapter.info ?? {});
  return Boolean(isFallbackAdapter) || /llvmpipe|lavapipe|swiftshader|warp|basic render|software/i.test(adapterName(adapter));
}

/**
 * An adapter, or a `Refusal` that says why there is none.
 * @param {GPU | undefined} [gpu]
 */
export async function findAdapter(gpu = globalThis.navigator?.gpu) {
  if (!gpu) {
    const how =
      globalThis.isSecureContext === false
        ? 'Browsers offer it only on https:// and on localhost: open the page there.'
        : 'Current Chrome and Edge have it, Safari from 26 and Firefox from 141 on (elsewhere behind dom.webgpu.enabled).';
    throw new Refusal(`This browser has no WebGPU here. ${how}`);
  }
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter)
    throw new Refusal(
      'The browser has WebGPU, but found no GPU that it lets pages use: its driver may be too old or blocked (chrome://gpu, about:support).',
    );
  return adapter;
}

/**
 * Opens a device for the first of `plans` that the adapter takes, with the limits that all of them need that it takes.
 * @template {Plan} P
 * @param {GPUAdapter} adapter a fresh one: it gives one device
 * @param {P[]} plans
 * @param {{onLost?: (reason: string) => void, onError?: (message: string) => void}} [options] `onError` hears what the GPU
 *   reports outside of all checks, such as memory that is used up
 */
export async function openDevice(adapter, plans, { onLost, onError } = {}) {
  const reasons = plans.map(plan => whatIsMissing(adapter, plan));
  const taken = plans.filter((_, number) => reasons[number] === undefined);
  if (plans.length > 0 && taken.length === 0) throw new Refusal(/** @type {string} */ (reasons.at(-1)));
  /** @type {Record<string, number>} */
  const requiredLimits = {};
  for (const plan of taken) {
    for (const [limit, needed] of Object.entries(plan.requires.limits))
      requiredLimits[limit] = Math.max(requiredLimits[limit] ?? 0, needed);
  }
  // Pictures are larger than the plan's crops.
  for (const limit of ['maxBufferSize', 'maxStorageBufferBindingSize']) {
    if (limit in requiredLimits)
      requiredLimits[limit] = Math.max(requiredLimits[limit], Math.min(/** @type {any} */ (adapter.limits)[limit], 2 ** 28));
  }
  const wanted = /** @type {GPUFeatureName[]} */ ([
    'timestamp-query',
    'subgroups',
    ...taken.flatMap(({ requires }) => requires.features),
  ]);
  const requiredFeatures = [...new Set(wanted)].filter(it => adapter.features.has(it));
  const device = await adapter.requestDevice({ requiredLimits, requiredFeatures });
  device.addEventListener('uncapturederror', ({ error }) => onError?.(error.message));
  device.lost.then(({ reason, message }) => {
    if (reason !== 'destroyed')
      onLost?.(
        `The GPU was lost${message ? ` (${message})` : ''}: reload the page. Work that takes seconds at a time can be stopped by the system.`,
      );
  });
  return { device, plan: taken[0], plans: taken };
}

/** A plan with its memory and pipelines on a device. */
export class Session {
  /**
   * @param {GPUDevice} device
   * @param {Plan} plan
   * @param {{shader: (kernel: string) => Promise<string> | string, tensors?: Map<string, Tensor>, complete?: boolean,
   *   onProgress?: (done: number, all: number) => void}} options `shader` gives a kernel's WGSL, `tensors` the parameters and
   *   state, zero where they are missing unless they are to be `complete`; `onProgress` hears how many pipelines are compiled
   */
  static async open(device, plan, { shader, tensors = new Map(), complete = false, onProgress }) {
    const needed = complete ? plan.buffers.flatMap(({ tensors = [] }) => tensors) : [];
    const missing = needed.find(({ name }) => !tensors.has(name));
    if (missing)
      throw new Refusal(`The weights lack the tensor '${missing.name}': they are of another bundle. Write the folder again.`);
    const session = new Session(device, plan);
    const scopes = /** @type {GPUErrorFilter[]} */ (['validation', 'out-of-memory']);
    scopes.forEach(scope => device.pushErrorScope(scope));
    let failure;
    try {
      session.reserve(tensors);
      await session.compile(shader, onProgress);
      session.bind();
    } catch (error) {
      failure = error;
    }
    // The last scope first.
    const [memory, invalid] = await Promise.all(scopes.map(() => device.popErrorScope()));
    if (memory) failure = new Refusal(`The GPU has not enough memory for '${plan.name}'.`);
    else if (invalid) failure ??= new Error(invalid.message);
    if (failure) {
      session.destroy();
      throw failure;
    }
    return session;
  }

  /** @param {GPUDevice} device @param {Plan} plan */
  constructor(device, plan) {
    this.device = device;
    this.plan = plan;
    /** @type {GPUBuffer[]} */ this.buffers = [];
    /** @type {Map<string, {buffer: number, offset: number, shape: number[], role: string}>} */ this.places = new Map();
    /** @type {GPUComputePipeline[]} */ this.pipelines = [];
    /** @type {{pipeline: GPUComputePipeline, bindings: GPUBindGroup, workgroups: number[], dispatch: Dispatch}[]} */ this.commands =
      [];
    /** Whether what runs once must run again. */
    this.isStale = true;
  }

  /** @param {number} size @param {string} label */
  buffer(size, label) {
    const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
    return this.device.createBuffer({ label, size: Math.max(4, size), usage: STORAGE | COPY_SRC | COPY_DST });
  }

  /** @param {Map<string, Tensor>} tensors */
  reserve(tensors) {
    this.plan.buffers.forEach((planned, number) => {
      const { kind, name, shape, words } = planned,
        bytes = words ? 4 * words.length : (planned.bytes ?? 0);
      this.buffers.push(this.buffer(bytes, name ?? `${kind} ${number}`));
      if (words) this.device.queue.writeBuffer(this.buffers[number], 0, new Uint32Array(words));
      if (name && shape) this.places.set(name, { buffer: number, offset: 0, shape, role: kind });
      for (const { name, offset, shape, role } of planned.tensors ?? []) {
        this.places.set(name, { buffer: number, offset, shape, role });
        const tensor = tensors.get(name);
        if (tensor) this.write(name, tensor.data);
      }
    });
    for (const { name, buffer, offset, shape } of this.plan.outputs)
      this.places.set(name, { buffer, offset, shape, role: 'output' });
  }

  /** @param {(kernel: string) => Promise<string> | string} shader @param {((done: number, all: number) => void) | undefined} onProgress */
  async compile(shader, onProgress) {
    const { pipelines } = this.plan,
      kernels = [...new Set(pipelines.map(({ kernel }) => kernel))];
    const sources = await Promise.all(kernels.map(shader));
    const modules = new Map(
      await Promise.all(
        kernels.map(async (kernel, number) => {
          const features = [...new Set(pipelines.filter(it => it.kernel === kernel).flatMap(it => it.features ?? []))];
          // The program's own compiler refuses the line that browsers demand.
          const code = features.map(feature => `enable ${feature}; `).join('') + sources[number];
          const module = this.device.createShaderModule({ label: kernel, code });
          const { messages } = await module.getCompilationInfo();
          const errors = messages.filter(({ type }) => type === 'error');
          if (errors.length > 0)
            throw new ShaderError(
              kernel,
              errors.map(({ lineNum, linePos, message }) => ({ line: lineNum, column: linePos, text: message })),
            );
          return /** @type {[string, GPUShaderModule]} */ ([kernel, module]);
        }),
      ),
    );
    let done = 0;
    this.pipelines = await Promise.all(
      pipelines.map(async ({ kernel, constants }) => {
        const module = /** @type {GPUShaderModule} */ (modules.get(kernel));
        try {
          return await this.device.createComputePipelineAsync({
            label: kernel,
            layout: 'auto',
            compute: { module, entryPoint: 'main', constants },
          });
        } catch (error) {
          throw new Error(`${kernel} does not become a pipeline: ${error instanceof Error ? error.message : error}`);
        } finally {
          onProgress?.(++done, pipelines.length);
        }
      }),
    );
  }

  bind() {
    const layouts = this.pipelines.map(pipeline => pipeline.getBindGroupLayout(0));
    this.commands = this.plan.dispatches.map(dispatch => ({
      dispatch,
      workgroups: dispatch.workgroups,
      pipeline: this.pipelines[dispatch.pipeline],
      bindings: this.device.createBindGroup({
        label: dispatch.label,
        layout: layouts[dispatch.pipeline],
        entries: dispatch.bindings.map(([number, offset, size], binding) => {
          const buffer = this.buffers[number];
          // Inputs may have grown.
          return { binding, resource: this.plan.buffers[number].kind === 'input' ? { buffer } : { buffer, offset, size } };
        }),
      }),
    }));
  }

  /** @param {string} name */
  place(name) {
    const place = this.places.get(name);
    if (!place) throw new Error(`The plan '${this.plan.name}' has no tensor '${name}'.`);
    return place;
  }

  /**
   * Uploads an input, a parameter or state before the next run. An input grows where `data` is longer.
   * @param {string} name @param {Float32Array | Uint32Array | Int32Array} data
   */
  write(name, data) {
    const { buffer, offset, shape, role } = this.place(name);
    if (role === 'input' && data.byteLength > this.buffers[buffer].size) {
      if (data.byteLength > this.device.limits.maxStorageBufferBindingSize) {
        throw new Refusal(
          `The picture is too large for this GPU: ${Math.ceil(data.byteLength / 2 ** 20)} MiB, of ${this.device.limits.maxStorageBufferBindingSize >> 20} that it binds at a time.`,
        );
      }
      this.buffers[buffer].destroy();
      this.buffers[buffer] = this.buffer(2 ** Math.ceil(Math.log2(data.byteLength)), name);
      this.bind();
    } else if (role !== 'input' && data.length !== elements(shape)) {
      throw new Error(`The tensor '${name}' has ${elements(shape)} elements, and ${data.length} were given.`);
    }
    this.device.queue.writeBuffer(this.buffers[buffer], offset, /** @type {any} */ (data));
    if (role !== 'input') this.isStale = true;
  }

  /** Fills all slots with NaN, so that whoever reads what nobody wrote is found out. */
  poison() {
    this.plan.buffers.forEach(({ kind, bytes }, number) => {
      if (kind === 'slot') this.device.queue.writeBuffer(this.buffers[number], 0, new Float32Array((bytes ?? 0) / 4).fill(NaN));
    });
  }

  /** Submits `runs` runs and returns at once. @param {number} [runs] */
  run(runs = 1) {
    const encoder = this.device.createCommandEncoder();
    if (this.isStale)
      this.record(
        encoder,
        this.commands.filter(({ dispatch }) => dispatch.once),
      );
    this.isStale = false;
    const always = this.commands.filter(({ dispatch }) => !dispatch.once);
    for (let i = 0; i < runs; i++) this.record(encoder, always);
    this.device.queue.submit([encoder.finish()]);
  }

  /** @param {GPUCommandEncoder} encoder @param {typeof this.commands} commands @param {GPUComputePassTimestampWrites} [timestampWrites] */
  record(encoder, commands, timestampWrites) {
    const pass = encoder.beginComputePass({ timestampWrites });
    for (const { pipeline, bindings, workgroups } of commands) {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindings);
      pass.dispatchWorkgroups(workgroups[0], workgroups[1], workgroups[2]);
    }
    pass.end();
  }

  /** Waits until what was submitted has run. */
  async wait() {
    await this.device.queue.onSubmittedWorkDone();
  }

  /**
   * Waits and copies tensors to the host: outputs, inputs, parameters and state, in the order of their names.
   * @param {string[]} names
   */
  async read(...names) {
    return this.copy(
      names.map(name => {
        const { buffer, offset, shape } = this.place(name);
        return [buffer, offset, 4 * elements(shape)];
      }),
    );
  }

  /** @param {number[][]} stretches of buffers: number, first byte, bytes @returns {Promise<Float32Array[]>} */
  async copy(stretches) {
    /** @type {number[]} */
    const starts = [];
    let total = 0;
    for (const [, , bytes] of stretches) {
      starts.push(total);
      total += (bytes + 7) & ~7;
    }
    const staging = this.device.createBuffer({
      size: Math.max(8, total),
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    const encoder = this.device.createCommandEncoder();
    stretches.forEach(([buffer, offset, bytes], i) =>
      encoder.copyBufferToBuffer(this.buffers[buffer], offset, staging, starts[i], bytes),
    );
    this.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const all = staging.getMappedRange().slice(0);
    staging.destroy();
    return stretches.map(([, , bytes], i) => new Float32Array(all, starts[i], bytes / 4));
  }

  /**
   * Runs dispatch by dispatch. After each that the plan has fingerprints of, `check` gets their numbers with the tensors, and
   * ends the run by returning true.
   * @param {(dispatch: Dispatch, number: number, prints: {print: number, tensor: Float32Array}[]) => boolean | void | Promise<boolean | void>} check
   */
  async step(check) {
    for (const [number, command] of this.commands.entries()) {
      const encoder = this.device.createCommandEncoder();
      this.record(encoder, [command]);
      this.device.queue.submit([encoder.finish()]);
      const { dispatch } = command,
        prints = dispatch.prints ?? [];
      if (prints.length === 0) continue;
      const tensors = await this.copy(prints.map(([binding]) => dispatch.bindings[binding]));
      if (
        await check(
          dispatch,
          number,
          prints.map(([, print], i) => ({ print, tensor: tensors[i] })),
        )
      )
        return;
    }
    this.isStale = false;
  }

  /**
   * Seconds of a run: the median of `samples`, each of as many runs in a row as take `least` seconds together, between two
   * time stamps where the device has them and by the clock elsewhere.
   * @param {{samples?: number, least?: number}} [options]
   */
  async time({ samples = 5, least = 0.02 } = {}) {
    // The clock hears of the end late.
    if (!this.device.features.has('timestamp-query')) least *= 5;
    await this.measure(1);
    let runs = 1;
    // Time stamps are coarse, so that a short measurement says little about how many runs it takes.
    let first = await this.measure(runs);
    while (first < least && runs < MOST_RUNS) {
      runs = Math.min(MOST_RUNS, Math.ceil(runs * Math.min(10, Math.max(1.2, (1.1 * least) / first))));
      first = await this.measure(runs);
    }
    const seconds = [first / runs];
    while (seconds.length < samples) seconds.push((await this.measure(runs)) / runs);
    return seconds.sort((a, b) => a - b)[samples >> 1];
  }

  /** Seconds of `runs` runs together. @param {number} runs */
  async measure(runs) {
    if (this.isStale) {
      this.run();
      await this.wait();
    }
    const { device } = this;
    const always = this.commands.filter(({ dispatch }) => !dispatch.once),
      all = Array(runs).fill(always).flat();
    if (!device.features.has('timestamp-query')) {
      const start = performance.now(),
        encoder = device.createCommandEncoder();
      this.record(encoder, all);
      device.queue.submit([encoder.finish()]);
      await this.wait();
      return (performance.now() - start) / 1e3;
    }
    const querySet = device.createQuerySet({ type: 'timestamp', count: 2 });
    const resolved = device.createBuffer({ size: 16, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC });
    const staging = device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    const encoder = device.createCommandEncoder();
    this.record(encoder, all, { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 });
    encoder.resolveQuerySet(querySet, 0, 2, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, 16);
    const start = performance.now();
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const clock = (performance.now() - start) / 1e3;
    const [from, to] = new BigUint64Array(staging.getMappedRange());
    const seconds = Number(to - from) * 1e-9;
    querySet.destroy();
    resolved.destroy();
    staging.destroy();
    // Some drivers leave them zero.
    return seconds > 0 ? seconds : clock;
  }

  /** Frees the memory. */
  destroy() {
    this.buffers.forEach(buffer => buffer.destroy());
  }
}

/** @param {number[]} shape */
export function elements(shape) {
  return shape.reduce((product, extent) => product * extent, 1);
}
