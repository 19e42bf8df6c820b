//! Which process the reader of the ring is.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::event::Event;
use crate::hash::keyed;
use crate::kernel::{Capture, Filter, Kernel, MapError, Names};

/// Number of the inode of the first process namespace (`PROC_PID_INIT_INO` of the kernel), from which events have their numbers.
const FIRST_NAMESPACE: &str = "pid:[4026531836]";
/// How long an event of this process itself is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why the reader does not know itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OwnNumberError {
    /// The kernel cannot be told to follow this process.
    #[error(transparent)]
    Map(#[from] MapError),
    /// This process cannot send itself something.
    #[error("cannot send over a socket of its own: {0}")]
    Io(#[from] io::Error),
    /// What it sent itself was not in the ring.
    #[error("it did not see itself")]
    Unseen,
}

/// Whether this process's numbers are those that events have. In a process namespace of its own, a container's say, they are others; then
/// what `/proc` says of a number is about another process than events of that number. `proc` is where the proc file system is mounted.
#[must_use]
pub fn is_first_namespace(proc: &Path) -> bool {
    // That there is no such file says that there are no namespaces.
    fs::read_link(proc.join("self/ns/pid")).map_or(true, |link| link == Path::new(FIRST_NAMESPACE))
}

/// Number of this process as events have it, by what it sees of itself: it follows everybody for a moment, and sends itself something that
/// nobody else sends. To be asked before anything else is followed or read: what it reads meanwhile is gone, and what is captured and
/// followed has to be told to the kernel anew.
///
/// # Errors
/// See [`OwnNumberError`].
pub fn own_number(kernel: &mut Kernel) -> Result<u32, OwnNumberError> {
    let token = std::hash::BuildHasher::hash_one(&keyed(), 0).to_ne_bytes();
    let (sender, receiver) = UnixDatagram::pair()?;
    kernel.capture(&Capture { head: token.len() as u32, tcp: false, udp: false, ..Capture::default() })?;
    kernel.follow(&Filter::default())?;
    let begin = Instant::now();
    let mut found = None;
    while found.is_none() && begin.elapsed() < PATIENCE {
        sender.send(&token)?;
        let mut received = [0; 8];
        receiver.recv(&mut received)?;
        kernel.read(usize::MAX, |record| {
            if let Ok(Event::Socket(event, payload)) = Event::parse(record)
                && payload == token
            {
                found = Some(event.header.tgid);
            }
        });
    }
    kernel.follow(&Filter { processes: Names::Only(BTreeSet::new()), ..Filter::default() })?;
    found.ok_or(OwnNumberError::Unseen)
}
