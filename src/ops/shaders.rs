//! The macro that makes the kernels of an operator from its files in `shaders/`.

/// Makes the kernels of one folder of `shaders/`, and the function `kernels` that lists them.
///
/// ```ignore
/// kernels! { "relu":
///     FORWARD, "forward", "y = max(x, 0)";
///     BACKWARD_INPUT, "backward_input", "dx = dy where y > 0, else 0";
/// }
/// ```
///
/// Each line makes a static [`Kernel`](crate::ir::Kernel) of the file `shaders/<folder>/<file>.wgsl`, named
/// `<folder>/<file>` and compiled without run-time checks; the summary becomes its documentation and its line in `ditn kernels`.
macro_rules! kernels {
    ($folder:literal: $($constant:ident, $file:literal, $summary:literal;)+) => {
        $(
            #[doc = concat!("`", $summary, "`")]
            pub static $constant: $crate::ir::Kernel = $crate::ir::Kernel::trusted(
                concat!($folder, "/", $file),
                $summary,
                include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $folder, "/", $file, ".wgsl")),
            );
        )+

        /// The kernels of this file.
        pub fn kernels() -> Vec<&'static $crate::ir::Kernel> {
            vec![$(&$constant),+]
        }
    };
}

pub(crate) use kernels;
