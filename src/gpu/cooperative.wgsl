// product = sum over s of left[s] * right[s], matrices of 8 x 8 (16 x 16 where this file is changed for that)
//
// Computes: the one product, by one subgroup.
// Grid: one workgroup of SUBGROUP.
// Memory: terms of left and right are rounded to f16 in workgroup memory, the sum leaves by way of it.
// Why: a probe: whether an adapter's cooperative matrices can be trusted. The sum lives across a loop whose end the
//   compiler does not know.
// Measured: not measured.

enable f16;
enable wgpu_cooperative_matrix;

override SUBGROUP: u32;

const SIZE = 8u;

alias Left = coop_mat8x8<f16, A>;
alias Right = coop_mat8x8<f16, B>;
alias Sums = coop_mat8x8<f32, C>;

@group(0) @binding(0) var<storage, read> terms: u32;
@group(0) @binding(1) var<storage, read> left: array<f32>;            // [terms, SIZE, SIZE]
@group(0) @binding(2) var<storage, read> right: array<f32>;           // [terms, SIZE, SIZE]
@group(0) @binding(3) var<storage, read_write> product: array<f32>;  // [SIZE, SIZE]

var<workgroup> a: array<f16, SIZE * SIZE>;
var<workgroup> b: array<f16, SIZE * SIZE>;
var<workgroup> c: array<f32, SIZE * SIZE>;

@compute @workgroup_size(SUBGROUP)
fn main(@builtin(local_invocation_index) local: u32) {
    var sums = Sums();
    for (var term = 0u; term < terms; term++) {
        workgroupBarrier();
        for (var item = local; item < SIZE * SIZE; item += SUBGROUP) {
            a[item] = f16(left[term * SIZE * SIZE + item]);
            b[item] = f16(right[term * SIZE * SIZE + item]);
        }
        workgroupBarrier();
        sums = coopMultiplyAdd(coopLoadT<Left>(&a[0], SIZE), coopLoadT<Right>(&b[0], SIZE), sums);
    }
    coopStoreT(sums, &c[0], SIZE);
    workgroupBarrier();
    for (var item = local; item < SIZE * SIZE; item += SUBGROUP) {
        product[item] = c[item];
    }
}
