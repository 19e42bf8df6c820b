//! Frames → the innermost conversation's packet.

mod layer;
mod region;

pub use layer::Layer;
