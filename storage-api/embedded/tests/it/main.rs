//! The tests of this crate: one binary, since each that links DataFusion is large.
