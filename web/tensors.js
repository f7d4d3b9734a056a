// @ts-check
// Tensors in safetensors files.

/** @typedef {{shape: number[], data: Float32Array | Uint32Array | Int32Array}} Tensor F16 and BF16 are read as float32. */

/**
 * The tensors of a safetensors file, by name.
 * @param {ArrayBuffer} file
 * @returns {Map<string, Tensor>}
 */
export function parseTensors(file) {
  const length = file.byteLength < 8 ? NaN : Number(new DataView(file).getBigUint64(0, true));
  if (!(8 + length <= file.byteLength)) throw new Error('This is not a whole safetensors file.');
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(file, 8, length)));
  const tensors = new Map();
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const { dtype, shape, data_offsets: [from, to] } = entry;
    if (8 + length + to > file.byteLength) throw new Error(`The safetensors file ends within the tensor '${name}'.`);
    tensors.set(name, { shape, data: decode(dtype, file.slice(8 + length + from, 8 + length + to)) });
  }
  return tensors;
}

/** @param {string} dtype @param {ArrayBuffer} bytes */
function decode(dtype, bytes) {
  switch (dtype) {
    case 'F32': return new Float32Array(bytes);
    case 'U32': return new Uint32Array(bytes);
    case 'I32': return new Int32Array(bytes);
    case 'F16': return Float32Array.from(new Uint16Array(bytes), halfToFloat);
    case 'BF16': return new Float32Array(Uint32Array.from(new Uint16Array(bytes), half => half << 16).buffer);
    default: throw new Error(`Tensors of ${dtype} are not known here.`);
  }
}

/** The number with these 16 bits (IEEE 754 binary16). @param {number} bits */
export function halfToFloat(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = bits >> 10 & 0x1f, fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
