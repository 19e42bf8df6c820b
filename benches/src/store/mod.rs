//! The suite `storage`: what the embedded store takes for rows of calls, beside other stores with the same rows.

mod peer;
mod rows;
mod suite;

pub use suite::run;
