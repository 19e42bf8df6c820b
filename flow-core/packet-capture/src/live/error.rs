//! What can go wrong with a ring.

use std::io;

/// A ring that could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenRingError {
    /// The interface does not exist in this network namespace.
    #[error("there is no interface {interface}; there are {}", list(.present))]
    NoSuchInterface {
        /// The name that was asked for.
        interface: String,
        /// Those that exist, the most similar names first.
        present: Vec<String>,
    },
    /// The process may not capture.
    #[error(
        "capturing on {interface} needs CAP_NET_RAW: run as root, or give the program that capability with `setcap cap_net_raw+ep`"
    )]
    NoPrivilege {
        /// The interface.
        interface: String,
    },
    /// The interface exists and is down.
    #[error("interface {interface} is down: bring it up with `ip link set {interface} up`")]
    Down {
        /// The interface.
        interface: String,
    },
    /// An option of [`RingOptions`](crate::RingOptions) outside of its range.
    #[error("{option} is {value}, it must lie between {least} and {most}")]
    Option {
        /// Name of the field.
        option: &'static str,
        /// Its value; milliseconds for a time.
        value: u64,
        /// The least that is allowed.
        least: u64,
        /// The most that is allowed.
        most: u64,
    },
    /// The kernel has not got so much memory for a ring.
    #[error("no memory for a ring of {bytes} bytes on {interface}: ask for a smaller one")]
    NoMemory {
        /// The interface.
        interface: String,
        /// Bytes of the ring.
        bytes: usize,
    },
    /// The connections to leave out.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// Any other refusal of the kernel.
    #[error("cannot {action} for capturing on {interface}: {source}")]
    System {
        /// The interface.
        interface: String,
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Why a ring gives nothing at present. What was captured within
/// [`block_timeout`](crate::RingOptions::block_timeout) before may still come after it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// The interface went down. The ring stays open, and gives packets again when the interface comes back.
    #[error("interface {interface} went down")]
    Down {
        /// The interface.
        interface: String,
    },
    /// The interface was removed. The ring gives nothing any more; should an interface of that name come back, it
    /// needs a new ring.
    #[error("interface {interface} was removed")]
    Gone {
        /// The interface.
        interface: String,
    },
    /// Any other failure that the kernel reports.
    #[error("cannot read from {interface}: {source}")]
    System {
        /// The interface.
        interface: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Connections that could not be left out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// More than [`RingOptions::MAX_EXCLUDED`](crate::RingOptions::MAX_EXCLUDED).
    #[error("{count} connections to leave out, more than {limit}")]
    TooMany {
        /// How many there are.
        count: usize,
        /// The bound.
        limit: usize,
    },
    /// The kernel refused the filter.
    #[error("cannot attach the capture filter: {0}")]
    System(#[from] io::Error),
}

fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let more = if names.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(SHOWN)].join(", "))
}
