// product[f, i, j] = sum over k of left[f, k, i] * right[f, k, j]
//
// As winograd_product.wgsl for few columns j, in one split, with left and right as vec4 along i and j.
//
// Computes: 16 columns of 16 rows per invocation; a workgroup, at most one subgroup, computes 16 * WORKGROUP rows.
// Grid: frequencies * ceil(columns / 16) * ceil(rows / (16 * WORKGROUP)) workgroups of WORKGROUP, rows first, folded
//   into y past 65,535. Subgroups have 8 lanes or more; WORKGROUP is a multiple of 8 and at most a subgroup.
// Memory: lanes stand for rows and share their columns; four k per step:
//
//     lane       0         1         2         3          4 .. 7
//     columns    0 .. 3    4 .. 7    8 .. 11   12 .. 15   as 0 .. 3
//     k          near: k, far: k + 2                      near: k + 1, far: k + 3
//
// Why: a tile of 64 columns would be less than half full. On large maps this one is half as fast, because it loads one
//   and a half times as much for as many products. Every invocation runs to the end, for the broadcasts.
// Measured: lavapipe, 2 cores, subgroups of 8; operations of the direct convolution in GFLOP/s, the weights transformed
//   beforehand, forward_3x3.wgsl beside it in brackets: 128->128 16x16 batch 1 21 (8), batch 2 23 (8); 256->256 8x8
//   batch 2 14 (10).

override WORKGROUP: u32;

struct ProductExtents {
    splits: u32,  // 1
    frequencies: u32,
    depth: u32,
    rows: u32,
    columns: u32,
}

@group(0) @binding(0) var<storage, read> left: array<vec4f>;           // [frequencies, depth, rows padded]
@group(0) @binding(1) var<storage, read> right: array<vec4f>;          // [frequencies, depth, columns padded]
@group(0) @binding(2) var<storage, read> extents: ProductExtents;
@group(0) @binding(3) var<storage, read_write> product: array<vec4f>;  // [frequencies, rows, columns padded]

// 16 columns of a row.
struct Columns { a: vec4f, b: vec4f, c: vec4f, d: vec4f }

// Four rows.
struct Rows { a: Columns, b: Columns, c: Columns, d: Columns }

// Four vectors of columns, one a k.
struct Four { a: Columns, b: Columns, c: Columns, d: Columns }

fn columns(v: vec4f, first: u32) -> Columns {
    if first == 0u {
        return Columns(
            subgroupBroadcast(v, 0u), subgroupBroadcast(v, 1u), subgroupBroadcast(v, 2u), subgroupBroadcast(v, 3u),
        );
    }
    return Columns(
        subgroupBroadcast(v, 4u), subgroupBroadcast(v, 5u), subgroupBroadcast(v, 6u), subgroupBroadcast(v, 7u),
    );
}

// All four products of a vec4 before the next one, so that their sum stays in a register meanwhile.
fn add_vec4(sum: vec4f, a: vec4f, b: vec4f, c: vec4f, d: vec4f, w: vec4f) -> vec4f {
    return sum + fma(d, vec4f(w.w), fma(c, vec4f(w.z), fma(b, vec4f(w.y), a * w.x)));
}

fn add_row(s: Columns, r: Four, w: vec4f) -> Columns {
    return Columns(
        add_vec4(s.a, r.a.a, r.b.a, r.c.a, r.d.a, w), add_vec4(s.b, r.a.b, r.b.b, r.c.b, r.d.b, w),
        add_vec4(s.c, r.a.c, r.b.c, r.c.c, r.d.c, w), add_vec4(s.d, r.a.d, r.b.d, r.c.d, r.d.d, w),
    );
}

// Adds the products of four rows, whose places for each of the four k are `at`.
fn add(s: Rows, r: Four, at: vec4u) -> Rows {
    let a = left[at.x];
    let b = left[at.y];
    let c = left[at.z];
    let d = left[at.w];
    return Rows(
        add_row(s.a, r, vec4f(a.x, b.x, c.x, d.x)), add_row(s.b, r, vec4f(a.y, b.y, c.y, d.y)),
        add_row(s.c, r, vec4f(a.z, b.z, c.z, d.z)), add_row(s.d, r, vec4f(a.w, b.w, c.w, d.w)),
    );
}

fn store_row(e: ProductExtents, s: Columns, frequency: u32, row: u32, vector: u32) {
    let vectors = (e.columns + 3u) / 4u;
    let at = (frequency * e.rows + row) * vectors + vector;
    if row >= e.rows {
        return;
    }
    if vector < vectors {
        product[at] = s.a;
    }
    if vector + 1u < vectors {
        product[at + 1u] = s.b;
    }
    if vector + 2u < vectors {
        product[at + 2u] = s.c;
    }
    if vector + 3u < vectors {
        product[at + 3u] = s.d;
    }
}

fn store(e: ProductExtents, s: Rows, frequency: u32, row: u32, vector: u32) {
    store_row(e, s.a, frequency, row, vector);
    store_row(e, s.b, frequency, row + 1u, vector);
    store_row(e, s.c, frequency, row + 2u, vector);
    store_row(e, s.d, frequency, row + 3u, vector);
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
    let row_blocks = (e.rows + WORKGROUP * 16u - 1u) / (WORKGROUP * 16u);
    let column_blocks = (e.columns + 15u) / 16u;
    let row = (index % row_blocks * WORKGROUP + local) * 16u;
    let vector = index / row_blocks % column_blocks * 4u;
    let frequency = min(index / (row_blocks * column_blocks), e.frequencies - 1u);
    let row_vectors = (e.rows + 3u) / 4u;
    let vectors = (e.columns + 3u) / 4u;
    let last = e.depth - 1u;
    let lane = subgroup_lane % 8u;
    let mine = min(vector + lane % 4u, vectors - 1u);
    let first_vector = row / 4u;
    let place = min(vec4u(first_vector) + vec4u(0u, 1u, 2u, 3u), vec4u(row_vectors - 1u)) + frequency * e.depth * row_vectors;

    let none = Columns(vec4f(0.0), vec4f(0.0), vec4f(0.0), vec4f(0.0));
    let zero = Rows(none, none, none, none);
    var s0 = zero;
    var s1 = zero;
    var s2 = zero;
    var s3 = zero;
    for (var k = 0u; k < e.depth; k += 4u) {
        let near = k + lane / 4u;
        let far = near + 2u;
        let start = frequency * e.depth;
        let near_columns = select(vec4f(0.0), right[(start + min(near, last)) * vectors + mine], near < e.depth);
        let far_columns = select(vec4f(0.0), right[(start + min(far, last)) * vectors + mine], far < e.depth);
        let r = Four(columns(near_columns, 0u), columns(near_columns, 4u), columns(far_columns, 0u), columns(far_columns, 4u));
        let at = min(vec4u(k) + vec4u(0u, 1u, 2u, 3u), vec4u(last)) * row_vectors;
        s0 = add(s0, r, at + place.x);
        s1 = add(s1, r, at + place.y);
        s2 = add(s2, r, at + place.z);
        s3 = add(s3, r, at + place.w);
    }

    if index < e.frequencies * row_blocks * column_blocks {
        store(e, s0, frequency, row, vector);
        store(e, s1, frequency, row + 4u, vector);
        store(e, s2, frequency, row + 8u, vector);
        store(e, s3, frequency, row + 12u, vector);
    }
}
