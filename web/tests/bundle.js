// The bundle under test, from the environment variable DITN_BUNDLE, and Dawn's WebGPU for node.

import fs from 'node:fs';
import path from 'node:path';
import { create, globals } from 'webgpu';
import { parseTensors } from '../tensors.js';

Object.assign(globalThis, globals);

/** The folder that `ditn web` has written. */
export const folder = path.resolve(process.env.DITN_BUNDLE ?? 'bundle');

const bytes = file => fs.readFileSync(path.join(folder, file));
export const json = file => JSON.parse(bytes(file).toString());
export const tensors = file => {
  const { buffer, byteOffset, byteLength } = bytes(file);
  return parseTensors(buffer.slice(byteOffset, byteOffset + byteLength));
};
export const shader = kernel => bytes(`shaders/${kernel}.wgsl`).toString();
export const shaders = () => fs.readdirSync(path.join(folder, 'shaders'), { recursive: true })
  .filter(file => file.endsWith('.wgsl')).map(file => file.replaceAll('\\', '/').slice(0, -'.wgsl'.length)).sort();

/** Dawn without a driver, with WebGPU's guaranteed limits: it compiles and runs nothing. */
const withoutDriver = create(['backend=null']);
export const compiler = () => withoutDriver.requestAdapter();
/** Dawn on the Vulkan driver that the environment names (VK_ICD_FILENAMES), or undefined where it takes none. */
export const gpu = create(['backend=vulkan']);
export const adapter = () => gpu.requestAdapter().catch(() => null);
