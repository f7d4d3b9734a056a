//! The network that ships with the program: a checkpoint inside it. `weights/README.md` says how it was trained, on whose
//! pictures, and what it finds and misses.

/// Its name in messages.
pub const NAME: &str = "the network that ships with the program";

/// What it is and is worth, in a line.
pub const WORTH: &str = "DITN, width 16, 128x128, LSP's 14 joints, for research only; \
                         PCK@0.2 66.2 on LSP's test people (the mean pose has 19.9)";

/// The checkpoint.
pub const FILE: &[u8] = include_bytes!("../../weights/lsp_ditn_128.safetensors");
