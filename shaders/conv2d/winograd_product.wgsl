// product[p, f, i, j] = sum over the k of split p of left[f, k, i] * right[f, k, j]
//
// The products of matrices between the transforms of a convolution by Winograd, one per frequency f. The k are cut into
// splits.
//
// Computes: 64 columns j of 4 rows i per invocation; a workgroup, at most one subgroup, computes 4 * WORKGROUP rows.
// Grid: splits * frequencies * ceil(columns / 64) * ceil(rows / (4 * WORKGROUP)) workgroups of WORKGROUP, rows first,
//   folded into y past 65,535. Subgroups have 8 lanes or more; WORKGROUP is a multiple of 8 and at most a subgroup.
// Memory: lanes stand for rows and share their columns, of which lanes 0 to 7 load 8 each, four k per step;
//   subgroupBroadcast hands them to all:
//
//     lane     0         1          2          ...   7
//     near     0 .. 3    8 .. 11    16 .. 19         56 .. 59
//     far      4 .. 7    12 .. 15   20 .. 23         60 .. 63
//
//   A lane holds 256 sums. left and right lie as vec4 along i and j, or with DEPTH_VEC4 along k, which is then a
//   multiple of 4.
// Why: for CPU adapters, where loads cost most. Four k are added up before they join the sum, whose error Winograd's
//   transforms amplify. Every invocation runs to the end, for the broadcasts.
// Measured: lavapipe, 2 cores, subgroups of 8; operations of the direct convolution in GFLOP/s by CPU time for y, dx,
//   dw with all transforms, the 3x3 kernels side by side in brackets: 64->64 64x64 batch 4 43, 36, 47 (25, 20, 30);
//   64->64 32x32 batch 4 68, 71, 75 (37, 38, 43); 128->128 16x16 batch 4 75, 78, 57 (36, 36, 40); 32->32 64x64 batch 4
//   49, 51, 45 (37, 38, 43); 256->256 8x8 batch 4 25, 26, 30 (38, 31, 26); 16->16 24x24 batch 2 11, 12, 10 (21, 24,
//   22). With Mesa 26.1, 64->64 64x64 batch 4, the fastest kernels: 74, 62, 85 (y directly 42). 8 rows per lane: 20 %
//   slower; one k per step: 30 % slower.

override DEPTH_VEC4: bool;  // left and right lie as vec4 along k, which are then a multiple of 4; otherwise along i and j
override WORKGROUP: u32;

struct ProductExtents {
    splits: u32,
    frequencies: u32,
    depth: u32,
    rows: u32,
    columns: u32,
}

@group(0) @binding(0) var<storage, read> left: array<vec4f>;           // [frequencies, depth, rows padded], or [frequencies, rows, depth]
@group(0) @binding(1) var<storage, read> right: array<vec4f>;          // [frequencies, depth, columns padded], or [frequencies, columns, depth]
@group(0) @binding(2) var<storage, read> extents: ProductExtents;
@group(0) @binding(3) var<storage, read_write> product: array<vec4f>;  // [splits, frequencies, rows, columns padded]

// 64 columns of a row.
alias Columns = array<vec4f, 16>;

// Four rows.
alias Rows = array<Columns, 4>;

// Four vectors at four k, or of four rows or columns.
struct Four { a: vec4f, b: vec4f, c: vec4f, d: vec4f }

fn transposed(q: Four) -> Four {
    return Four(
        vec4f(q.a.x, q.b.x, q.c.x, q.d.x), vec4f(q.a.y, q.b.y, q.c.y, q.d.y),
        vec4f(q.a.z, q.b.z, q.c.z, q.d.z), vec4f(q.a.w, q.b.w, q.c.w, q.d.w),
    );
}

// Four k of four rows from `row` on: a vector a row.
fn load_left(e: ProductExtents, frequency: u32, k: u32, end: u32, row: u32) -> Four {
    if DEPTH_VEC4 {
        let vectors = e.depth / 4u;
        let start = frequency * e.rows * vectors + k / 4u;
        let last = e.rows - 1u;
        return Four(
            left[start + min(row, last) * vectors], left[start + min(row + 1u, last) * vectors],
            left[start + min(row + 2u, last) * vectors], left[start + min(row + 3u, last) * vectors],
        );
    }
    let vectors = (e.rows + 3u) / 4u;
    let start = frequency * e.depth * vectors + min(row / 4u, vectors - 1u);
    let last = end - 1u;
    return transposed(Four(
        left[start + k * vectors], left[start + min(k + 1u, last) * vectors],
        left[start + min(k + 2u, last) * vectors], left[start + min(k + 3u, last) * vectors],
    ));
}

// Four k of four columns from `column` on: a vector a k, zero past the last.
fn load_right(e: ProductExtents, frequency: u32, k: u32, end: u32, column: u32) -> Four {
    if DEPTH_VEC4 {
        let vectors = e.depth / 4u;
        let start = frequency * e.columns * vectors + k / 4u;
        let last = e.columns - 1u;
        return transposed(Four(
            right[start + min(column, last) * vectors], right[start + min(column + 1u, last) * vectors],
            right[start + min(column + 2u, last) * vectors], right[start + min(column + 3u, last) * vectors],
        ));
    }
    let vectors = (e.columns + 3u) / 4u;
    let start = frequency * e.depth * vectors + min(column / 4u, vectors - 1u);
    let last = end - 1u;
    return Four(
        right[start + k * vectors],
        select(vec4f(0.0), right[start + min(k + 1u, last) * vectors], k + 1u < end),
        select(vec4f(0.0), right[start + min(k + 2u, last) * vectors], k + 2u < end),
        select(vec4f(0.0), right[start + min(k + 3u, last) * vectors], k + 3u < end),
    );
}

fn spread(a: vec4f, b: vec4f) -> Columns {
    return Columns(
        subgroupBroadcast(a, 0u), subgroupBroadcast(b, 0u), subgroupBroadcast(a, 1u), subgroupBroadcast(b, 1u),
        subgroupBroadcast(a, 2u), subgroupBroadcast(b, 2u), subgroupBroadcast(a, 3u), subgroupBroadcast(b, 3u),
        subgroupBroadcast(a, 4u), subgroupBroadcast(b, 4u), subgroupBroadcast(a, 5u), subgroupBroadcast(b, 5u),
        subgroupBroadcast(a, 6u), subgroupBroadcast(b, 6u), subgroupBroadcast(a, 7u), subgroupBroadcast(b, 7u),
    );
}

// All four products of a vec4 before the next one, so that their sum stays in a register meanwhile.
fn add_vec4(sum: vec4f, a: vec4f, b: vec4f, c: vec4f, d: vec4f, w: vec4f) -> vec4f {
    return sum + fma(d, vec4f(w.w), fma(c, vec4f(w.z), fma(b, vec4f(w.y), a * w.x)));
}

fn add(s: Columns, a: Columns, b: Columns, c: Columns, d: Columns, w: vec4f) -> Columns {
    return Columns(
        add_vec4(s[0], a[0], b[0], c[0], d[0], w), add_vec4(s[1], a[1], b[1], c[1], d[1], w),
        add_vec4(s[2], a[2], b[2], c[2], d[2], w), add_vec4(s[3], a[3], b[3], c[3], d[3], w),
        add_vec4(s[4], a[4], b[4], c[4], d[4], w), add_vec4(s[5], a[5], b[5], c[5], d[5], w),
        add_vec4(s[6], a[6], b[6], c[6], d[6], w), add_vec4(s[7], a[7], b[7], c[7], d[7], w),
        add_vec4(s[8], a[8], b[8], c[8], d[8], w), add_vec4(s[9], a[9], b[9], c[9], d[9], w),
        add_vec4(s[10], a[10], b[10], c[10], d[10], w), add_vec4(s[11], a[11], b[11], c[11], d[11], w),
        add_vec4(s[12], a[12], b[12], c[12], d[12], w), add_vec4(s[13], a[13], b[13], c[13], d[13], w),
        add_vec4(s[14], a[14], b[14], c[14], d[14], w), add_vec4(s[15], a[15], b[15], c[15], d[15], w),
    );
}

fn store_vec4(e: ProductExtents, value: vec4f, matrix: u32, row: u32, vector: u32) {
    let vectors = (e.columns + 3u) / 4u;
    if row < e.rows && vector < vectors {
        product[(matrix * e.rows + row) * vectors + vector] = value;
    }
}

fn store_row(e: ProductExtents, s: Columns, matrix: u32, row: u32, vector: u32) {
    store_vec4(e, s[0], matrix, row, vector);
    store_vec4(e, s[1], matrix, row, vector + 1u);
    store_vec4(e, s[2], matrix, row, vector + 2u);
    store_vec4(e, s[3], matrix, row, vector + 3u);
    store_vec4(e, s[4], matrix, row, vector + 4u);
    store_vec4(e, s[5], matrix, row, vector + 5u);
    store_vec4(e, s[6], matrix, row, vector + 6u);
    store_vec4(e, s[7], matrix, row, vector + 7u);
    store_vec4(e, s[8], matrix, row, vector + 8u);
    store_vec4(e, s[9], matrix, row, vector + 9u);
    store_vec4(e, s[10], matrix, row, vector + 10u);
    store_vec4(e, s[11], matrix, row, vector + 11u);
    store_vec4(e, s[12], matrix, row, vector + 12u);
    store_vec4(e, s[13], matrix, row, vector + 13u);
    store_vec4(e, s[14], matrix, row, vector + 14u);
    store_vec4(e, s[15], matrix, row, vector + 15u);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_invocation_id) subgroup_lane: u32,
) {
    let e = extents;
    let index = workgroup.y * workgroups.x + workgroup.x;
    let row_blocks = (e.rows + WORKGROUP * 4u - 1u) / (WORKGROUP * 4u);
    let column_blocks = (e.columns + 63u) / 64u;
    let row = (index % row_blocks * WORKGROUP + local) * 4u;
    let first = index / row_blocks % column_blocks * 64u;
    let matrix = index / (row_blocks * column_blocks);
    let frequency = matrix % e.frequencies;
    let split = matrix / e.frequencies;
    // Each split has whole vec4 of k.
    let depth = (e.depth + 4u * e.splits - 1u) / (4u * e.splits) * 4u;
    let end = min((split + 1u) * depth, e.depth);
    let column = first + subgroup_lane % 8u * 8u;

    let zero = vec4f(0.0);
    let none = Columns(zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero);
    var s = Rows(none, none, none, none);
    for (var k = split * depth; k < end; k += 4u) {
        let near = load_right(e, frequency, k, end, column);
        let far = load_right(e, frequency, k, end, column + 4u);
        let a = spread(near.a, far.a);
        let b = spread(near.b, far.b);
        let c = spread(near.c, far.c);
        let d = spread(near.d, far.d);
        let w = load_left(e, frequency, k, end, row);
        s = Rows(add(s[0], a, b, c, d, w.a), add(s[1], a, b, c, d, w.b), add(s[2], a, b, c, d, w.c), add(s[3], a, b, c, d, w.d));
    }

    if split < e.splits {
        store_row(e, s[0], matrix, row, first / 4u);
        store_row(e, s[1], matrix, row + 1u, first / 4u);
        store_row(e, s[2], matrix, row + 2u, first / 4u);
        store_row(e, s[3], matrix, row + 3u, first / 4u);
    }
}
