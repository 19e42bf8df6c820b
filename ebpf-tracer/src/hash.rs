//! Hashing of what others choose.

/// A hash function with keys of the operating system's randomness: nobody outside can choose addresses that collide.
pub(crate) fn keyed() -> ahash::RandomState {
    let random = std::hash::RandomState::new();
    let [a, b, c, d] = std::array::from_fn(|position| std::hash::BuildHasher::hash_one(&random, position));
    ahash::RandomState::with_seeds(a, b, c, d)
}
