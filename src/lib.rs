//! DITN.
