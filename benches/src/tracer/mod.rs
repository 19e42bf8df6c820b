//! What it costs processes to be observed, and what it takes to read what was seen of them.

mod calls;
mod load;
mod observer;
mod suite;

pub use calls::answer as answer_calls;
pub use suite::run;
