//! Structs that kernels read from buffers, as the host lays them out.
//!
//! [`table!`] makes the host's struct of a WGSL one: same name, same fields, same order. A test compares both by reflection.

/// The layout of a struct on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableLayout {
    /// Name of the struct, the same as in WGSL.
    pub name: &'static str,
    /// Its fields in order.
    pub fields: &'static [TableField],
    /// Bytes of the fields.
    pub size: usize,
    /// Where the WGSL struct ends in an array without a length: the array's name and that of its elements' struct.
    pub rows: Option<(&'static str, &'static str)>,
}

/// A field of a [`TableLayout`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableField {
    /// Its name.
    pub name: &'static str,
    /// Its type in WGSL: `u32`, `vec3i`, ...
    pub wgsl: &'static str,
    /// Bytes from the start of the struct.
    pub offset: usize,
}

/// A type of fields that WGSL has too.
pub trait TableType {
    /// Its name there.
    const WGSL: &'static str;
}

impl TableType for u32 {
    const WGSL: &'static str = "u32";
}

impl TableType for i32 {
    const WGSL: &'static str = "i32";
}

impl TableType for f32 {
    const WGSL: &'static str = "f32";
}

impl TableType for [i32; 3] {
    const WGSL: &'static str = "vec3i";
}

/// Makes a struct that kernels read or write, with its [`TableLayout`] as the constant `LAYOUT`.
///
/// ```ignore
/// table! {
///     /// The extents of a picture.
///     pub struct Extents {
///         height: u32,
///         width: u32,
///     }
/// }
/// ```
///
/// `rows entries: Entry;` behind the struct says that the WGSL one ends in `entries: array<Entry>`, which the host appends.
macro_rules! table {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)+ }
        $(rows $rows:ident: $row:ident;)?
    ) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
        $visibility struct $name {
            $($(#[$field_meta])* pub $field: $type,)+
        }

        impl $name {
            /// How it lies in memory.
            $visibility const LAYOUT: $crate::ops::TableLayout = $crate::ops::TableLayout {
                name: stringify!($name),
                fields: &[$($crate::ops::TableField {
                    name: stringify!($field),
                    wgsl: <$type as $crate::ops::table::TableType>::WGSL,
                    offset: std::mem::offset_of!($name, $field),
                },)+],
                size: size_of::<$name>(),
                rows: [$(Some((stringify!($rows), stringify!($row))),)? None][0],
            };
        }
    };
}

pub(crate) use table;

/// `rows` one after the other as the words of a [`Variant`](crate::ir::Variant)'s table.
pub(crate) fn words<T: bytemuck::NoUninit>(rows: &[T]) -> Vec<u32> {
    bytemuck::pod_collect_to_vec(rows)
}

/// An extent as a word.
pub(crate) fn word(extent: usize) -> u32 {
    // Operators refuse tensors that do not fit a binding, and bindings stay below 2^32 bytes.
    extent as u32
}
