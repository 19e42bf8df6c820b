//! The ring of one interface.

use std::io;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use libc::{c_int, tpacket_req3};
use memmap2::{MmapOptions, MmapRaw};

use super::block::{self, Frames, Walk};
use super::error::{FilterError, OpenRingError, RingError};
use super::filter::{Connection, RingFilter, attach};
use super::interface::{Interface, by_likeness, interfaces};
use super::socket::Socket;
use crate::link::LinkType;
use crate::packet::{Batch, Record};

/// Captures what one interface sees, through a ring of memory that is shared with the kernel (AF_PACKET, TPACKET_V3).
///
/// Both directions are captured; on a loopback interface, where the kernel shows each packet on its way out and on its
/// way in, only the way in. The ring is [`Send`]: one thread may read each interface, or one thread all of them with
/// [`wait`](crate::wait).
#[derive(Debug)]
pub struct Ring {
    name: String,
    index: u32,
    socket: Arc<Socket>,
    memory: MmapRaw,
    /// How many blocks of `BLOCK` bytes `memory` has.
    blocks: usize,
    /// The block that is read next, or is being read.
    current: usize,
    /// While there is one, `current` is ours and not the kernel's.
    walk: Option<Walk>,
    frames: Frames,
    snap_len: u32,
    records: Vec<Record>,
    counters: RingCounters,
}

/// How to capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingOptions {
    /// Bytes kept of each packet. Default 256 KiB, which is every byte of what Linux handles as one packet.
    pub snap_len: u32,
    /// Bytes of the ring, rounded up to whole blocks of 512 KiB. Default 16 MiB.
    pub ring_bytes: usize,
    /// How long a block that is not full may stay with the kernel: the delay of a live view. Default 50 ms.
    pub block_timeout: Duration,
    /// Whether to see frames for other machines too. Default no.
    pub promiscuous: bool,
    /// TCP connections to leave out from the first packet on; see [`Ring::exclude`].
    pub excluded: Vec<Connection>,
}

/// Counts since the ring was opened. `received` = `dropped` + `ignored` + `lent` + packets that still lie in the ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RingCounters {
    /// Packets that passed the filter, dropped ones too.
    pub received: u64,
    /// Packets that the kernel dropped because the ring was full.
    pub dropped: u64,
    /// How often the ring was full.
    pub freezes: u64,
    /// Packets not handed out on purpose: the way out of a loopback interface, where the kernel is too old (4.20) to
    /// leave these out itself, and what is neither IPv4 nor IPv6 on interfaces without Ethernet headers.
    pub ignored: u64,
    /// Packets handed out.
    pub lent: u64,
}

impl RingOptions {
    /// Range of `snap_len`.
    pub const SNAP_LEN: RangeInclusive<u32> = 64..=256 << 10;
    /// Range of `ring_bytes`.
    pub const RING_BYTES: RangeInclusive<usize> = 2 << 20..=1 << 30;
    /// Range of `block_timeout`.
    pub const BLOCK_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(1);
    /// Most connections that can be left out. The kernel bounds the memory of a socket's filters (`optmem_max`, 20 KiB
    /// before Linux 6.7), and while one filter takes the place of another both count.
    pub const MAX_EXCLUDED: usize = 16;

    fn check(&self) -> Result<(), OpenRingError> {
        let within = |option, value, least, most| match (least..=most).contains(&value) {
            true => Ok(()),
            false => Err(OpenRingError::Option { option, value, least, most }),
        };
        let milliseconds = |time: &Duration| time.as_millis() as u64;
        let (snap_len, ring, timeout) = (Self::SNAP_LEN, Self::RING_BYTES, Self::BLOCK_TIMEOUT);
        within("snap_len", self.snap_len.into(), (*snap_len.start()).into(), (*snap_len.end()).into())?;
        within("ring_bytes", self.ring_bytes as u64, *ring.start() as u64, *ring.end() as u64)?;
        let (least, most) = (milliseconds(timeout.start()), milliseconds(timeout.end()));
        within("block_timeout", milliseconds(&self.block_timeout), least, most)
    }
}

impl Default for RingOptions {
    fn default() -> Self {
        Self {
            snap_len: 256 << 10,
            ring_bytes: 16 << 20,
            block_timeout: Duration::from_millis(50),
            promiscuous: false,
            excluded: Vec::new(),
        }
    }
}

impl Ring {
    /// Room for the longest packet with its header, and small enough that a ring has several.
    const BLOCK: usize = 512 << 10;
    /// Packets of one batch.
    const BATCH: usize = 256;

    /// Begins to capture on an interface.
    ///
    /// # Errors
    /// [`OpenRingError`]: no such interface, it is down, the process lacks CAP_NET_RAW, an option is out of range.
    pub fn open(interface: &str, options: &RingOptions) -> Result<Self, OpenRingError> {
        options.check()?;
        let name = interface.to_owned();
        let failed = |action| {
            let interface = name.clone();
            move |source| OpenRingError::System { interface, action, source }
        };
        let Interface { index, link, up, loopback, .. } = {
            let present = interfaces().map_err(failed("list the interfaces"))?;
            match present.iter().find(|present| present.name == interface) {
                Some(found) => found.clone(),
                None => {
                    let present = by_likeness(present, interface);
                    return Err(OpenRingError::NoSuchInterface { interface: name, present });
                }
            }
        };
        // Where there are no Ethernet headers the kernel may still show odd ones of its own, so it takes them off.
        let kind = if link == LinkType::Ethernet { libc::SOCK_RAW } else { libc::SOCK_DGRAM };
        let socket = Socket::open(kind).map_err(|source| match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => OpenRingError::NoPrivilege { interface: name.clone() },
            _ => failed("open a packet socket")(source),
        })?;
        if !up {
            return Err(OpenRingError::Down { interface: name });
        }
        // Everything is set before the socket is bound and so receives anything.
        let set = |option, value: c_int| socket.set(libc::SOL_PACKET, option, &value);
        set(libc::PACKET_VERSION, libc::tpacket_versions::TPACKET_V3 as c_int).map_err(failed("choose TPACKET_V3"))?;
        let blocks = options.ring_bytes.div_ceil(Self::BLOCK);
        request_ring(&socket, blocks, options.block_timeout).map_err(|source| match source.raw_os_error() {
            Some(libc::ENOMEM) => OpenRingError::NoMemory { interface: name.clone(), bytes: blocks * Self::BLOCK },
            _ => failed("set up a ring")(source),
        })?;
        attach(&socket, link, options.snap_len, &options.excluded)?;
        let skip_outgoing = loopback && set(libc::PACKET_IGNORE_OUTGOING, 1).is_err();
        let memory = MmapOptions::new().len(blocks * Self::BLOCK).map_raw(&socket).map_err(failed("map the ring"))?;
        if options.promiscuous {
            join_promiscuous(&socket, index).map_err(failed("enter promiscuous mode"))?;
        }
        socket.bind(index).map_err(failed("bind the socket"))?;
        Ok(Self {
            name,
            index,
            socket: Arc::new(socket),
            memory,
            blocks,
            current: 0,
            walk: None,
            frames: Frames { link, skip_outgoing },
            snap_len: options.snap_len,
            records: Vec::with_capacity(Self::BATCH),
            counters: RingCounters::default(),
        })
    }

    /// The packets that are there, at least one and at most a few hundred; `None` when there are none, without
    /// waiting. The memory of a batch goes back to the kernel when the next one is asked for, so ask until there is
    /// none.
    ///
    /// # Errors
    /// [`RingError`] when the interface went down or is gone, once.
    pub fn next_batch(&mut self) -> Result<Option<Batch<'_>>, RingError> {
        loop {
            let Some(mut walk) = self.walk.or_else(|| self.acquire()) else {
                return self.pending_error().map_or(Ok(None), Err);
            };
            self.records.clear();
            // The fields are named one by one, for the block borrows the mapping and the records are changed.
            let block = block_bytes(&self.memory, self.current);
            self.counters.ignored += walk.take(block, self.frames, &mut self.records);
            self.walk = Some(walk);
            if !self.records.is_empty() {
                self.counters.lent += self.records.len() as u64;
                return Ok(Some(Batch::new(block_bytes(&self.memory, self.current), &self.records)));
            }
            self.release();
        }
    }

    /// Leaves out the packets of these TCP connections from now on, in both directions, and of no others; what has
    /// been captured before still comes. Tunnels are not looked into.
    ///
    /// # Errors
    /// [`FilterError`] for too many; then the filter stays as it was.
    pub fn exclude(&self, connections: &[Connection]) -> Result<(), FilterError> {
        attach(&self.socket, self.frames.link, self.snap_len, connections)
    }

    /// A handle with which another thread can do what [`exclude`](Self::exclude) does.
    pub fn filter(&self) -> RingFilter {
        RingFilter::new(&self.socket, self.frames.link, self.snap_len)
    }

    /// Asks the kernel for its counts and gives the totals. The kernel counts in 32 bits: ask now and then.
    ///
    /// # Errors
    /// What the kernel says; none is known to happen.
    pub fn counters(&mut self) -> io::Result<RingCounters> {
        // The kernel begins anew at zero each time it is asked.
        let new: libc::tpacket_stats_v3 = self.socket.get(libc::SOL_PACKET, libc::PACKET_STATISTICS)?;
        self.counters.received += u64::from(new.tp_packets);
        self.counters.dropped += u64::from(new.tp_drops);
        self.counters.freezes += u64::from(new.tp_freeze_q_cnt);
        Ok(self.counters)
    }

    /// Name of the interface, as it was when the ring was opened.
    pub fn interface(&self) -> &str {
        &self.name
    }

    /// The link type that all its packets have.
    pub fn link(&self) -> LinkType {
        self.frames.link
    }

    /// Whether packets are at hand that the kernel need not be asked for.
    pub(super) fn holds_packets(&self) -> bool {
        self.walk.is_some()
    }

    /// Takes over the next block, if the kernel has filled it.
    fn acquire(&mut self) -> Option<Walk> {
        let status = self.status().load(Ordering::Acquire);
        let ours = status & libc::TP_STATUS_USER != 0;
        ours.then(|| Walk::new(block_bytes(&self.memory, self.current)))
    }

    /// Gives the current block back and goes on to the next.
    fn release(&mut self) {
        self.walk = None;
        self.status().store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.current = (self.current + 1) % self.blocks;
    }

    fn status(&self) -> &AtomicU32 {
        let status = self.memory.as_mut_ptr().wrapping_add(self.current * Self::BLOCK + block::STATUS);
        // SAFETY: the word lies within the mapping, which lives as long as `self`; it is aligned, for blocks are on
        // page boundaries; kernel and process both access it only as a whole.
        unsafe { AtomicU32::from_ptr(status.cast()) }
    }

    /// What has happened to the interface, known once.
    fn pending_error(&self) -> Option<RingError> {
        let interface = self.name.clone();
        let source = match self.socket.get::<c_int>(libc::SOL_SOCKET, libc::SO_ERROR) {
            Ok(0) => return None,
            Ok(error) => io::Error::from_raw_os_error(error),
            Err(error) => error,
        };
        if source.raw_os_error() != Some(libc::ENETDOWN) {
            return Some(RingError::System { interface, source });
        }
        let present = interfaces().is_ok_and(|all| all.iter().any(|present| present.index == self.index));
        Some(if present { RingError::Down { interface } } else { RingError::Gone { interface } })
    }
}

impl AsFd for Ring {
    /// For an event loop of one's own: readable when there are packets or an error.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// The bytes of a block that is ours.
fn block_bytes(memory: &MmapRaw, index: usize) -> &[u8] {
    let start = memory.as_mut_ptr().wrapping_add(index * Ring::BLOCK);
    // SAFETY: the block lies within the mapping, which the result borrows. The kernel does not write to a block whose
    // status says that it is the process's; that the status says so has been seen with acquire ordering, and `release`
    // changes it through `&mut Ring`, when no borrow of the block is left.
    unsafe { std::slice::from_raw_parts(start, Ring::BLOCK) }
}

fn request_ring(socket: &Socket, blocks: usize, timeout: Duration) -> io::Result<()> {
    // The kernel wants frames that fill the blocks, though TPACKET_V3 has no frames of fixed size.
    const FRAME: usize = 2048;
    let request = tpacket_req3 {
        tp_block_size: Ring::BLOCK as u32,
        tp_block_nr: blocks as u32,
        tp_frame_size: FRAME as u32,
        tp_frame_nr: (blocks * (Ring::BLOCK / FRAME)) as u32,
        tp_retire_blk_tov: timeout.as_millis() as u32,
        tp_sizeof_priv: 0,
        tp_feature_req_word: 0,
    };
    socket.set(libc::SOL_PACKET, libc::PACKET_RX_RING, &request)
}

fn join_promiscuous(socket: &Socket, interface: u32) -> io::Result<()> {
    let request = libc::packet_mreq {
        mr_ifindex: interface as c_int,
        mr_type: libc::PACKET_MR_PROMISC as u16,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    socket.set(libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request)
}
