//! Poses from pictures, and pictures from poses.
