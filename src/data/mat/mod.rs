//! Variables of MATLAB files (version 5 to 7), in which older data sets keep their annotations.

mod parse;
mod read;
mod value;

pub use read::{read, read_variable};
pub use value::{Numbers, Structure, Variable};
