//! Benchmarks of the libraries.
