//! Live capture: the AF_PACKET ring of the Linux kernel.

mod block;
mod error;
mod filter;
mod interface;
mod ring;
mod socket;
mod wait;

pub use self::error::{FilterError, OpenRingError, RingError};
pub use self::filter::{Connection, RingFilter};
pub use self::interface::{Interface, interfaces};
pub use self::ring::{Ring, RingCounters, RingOptions};
pub use self::wait::{Stop, Wake, wait};
