//! Time of this thread's processor, which other programs on the machine disturb less than the wall clock.

use std::time::Duration;

/// Processor time this thread has used.
#[must_use]
pub fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer; the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The least processor time of several runs of each of two functions in turn, A B A B …: noise only ever adds.
pub fn fastest(rounds: usize, mut ours: impl FnMut(), mut peer: impl FnMut()) -> (Duration, Duration) {
    let mut least = (Duration::MAX, Duration::MAX);
    for _ in 0..rounds {
        least.0 = least.0.min(timed(&mut ours));
        least.1 = least.1.min(timed(&mut peer));
    }
    least
}

fn timed(run: &mut impl FnMut()) -> Duration {
    let begin = cpu_time();
    run();
    cpu_time() - begin
}
