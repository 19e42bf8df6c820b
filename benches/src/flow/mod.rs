//! Suite `flow`: from packets to records, beside programs that do the same.

mod cores;
pub mod jobs;
mod many;
mod peers;
mod replay;
mod suite;

pub use cores::{Cores, cores};
pub use many::{Many, many};
pub use peers::Peer;
pub use replay::{Counted, Outcome, Work, check, follow, replay, walk};
pub use suite::run;
