//! Poses from pictures, and pictures from poses.

pub mod draw;
pub mod sheet;
