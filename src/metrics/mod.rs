//! Scores of predicted poses.
