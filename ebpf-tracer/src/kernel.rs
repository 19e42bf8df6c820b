//! Loads the programs into the kernel, tells them what to look at, and reads what they see.

mod btf;
mod error;
mod filter;
mod hooks;
mod layout;
mod tls;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use aya::maps::{Array, HashMap, MapData, PerCpuArray, RingBuf};
use aya::{Btf, Ebpf, EbpfLoader, Pod};
use metaflow_ebpf_common::{Counter, Ladder, Policy, Settings};
use rustix::event::epoll;
use zerocopy::IntoBytes;

use crate::reader::is_first_namespace;

pub use btf::{BtfError, KernelTypes};
pub use error::{LoadError, MapError};
pub use filter::{Filter, Names};
pub use hooks::Hooks;
pub use tls::{TlsError, TlsHooks};

/// The programs, as the kernel loads them. `cargo xtask ebpf` makes the file.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/prebuilt/tracer.bpf.o"));

/// How the kernel's side sees what processes do, and how much memory it may take. All of it is taken at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelLimits {
    /// Bytes of the ring of events: a power of two, and pages. What finds no room is counted as [`Counter::Lost`].
    pub ring_bytes: u32,
    /// Threads of which something is remembered: about 450 bytes each. With [`Hooks::SystemCalls`] these are all that are followed, and what
    /// more of them do is counted as [`Counter::Crowded`]; with [`Hooks::Sockets`] those that use a TLS library, receive datagrams of whoever
    /// sends them, or handle several messages by a call.
    pub threads: u32,
    /// Processes that a filter names, with what they fork.
    pub processes: u32,
    /// Control groups that a filter names.
    pub cgroups: u32,
    /// What is hooked into.
    pub hooks: Hooks,
}

impl Default for KernelLimits {
    fn default() -> Self {
        Self { ring_bytes: 16 << 20, threads: 16384, processes: 16384, cgroups: 1024, hooks: Hooks::Auto }
    }
}

/// How much is captured of what is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capture {
    /// Bytes of each message at most, up to 16 MiB.
    pub head: u32,
    /// Less than that when there is too little processor time.
    pub ladder: Ladder,
    /// Messages on TCP.
    pub tcp: bool,
    /// Messages on UDP.
    pub udp: bool,
    /// Messages on Unix sockets.
    pub unix: bool,
    /// The reader is woken each time that so many bytes more wait; taken down to a power of two.
    pub wake_bytes: u32,
}

impl Default for Capture {
    fn default() -> Self {
        Self { head: 4096, ladder: Ladder::Heads, tcp: true, udp: true, unix: true, wake_bytes: 64 << 10 }
    }
}

/// The programs in the kernel, attached: they see what happens as long as this lives. Nothing of them stays behind, however the process
/// ends: the kernel takes them away with the descriptors.
pub struct Kernel {
    ring: RingBuf<MapData>,
    wakes: OwnedFd,
    counters: PerCpuArray<MapData, [u64; Counter::COUNT as usize]>,
    settings: Array<MapData, SettingsValue>,
    processes: HashMap<MapData, u32, u8>,
    cgroups: HashMap<MapData, u64, u8>,
    ports: Array<MapData, u64>,
    now: Settings,
    hooks: Hooks,
    without_peers: Option<LoadError>,
    programs: Ebpf,
}

#[derive(Clone, Copy)]
#[repr(transparent)]
struct SettingsValue(Settings);
// SAFETY: numbers of four bytes only, so there is no padding and any bytes are a value.
unsafe impl Pod for SettingsValue {}

impl Kernel {
    /// Loads the programs and attaches them. Nothing is followed before [`Self::follow`].
    ///
    /// It takes the capabilities `CAP_BPF` and `CAP_PERFMON`, or root. The calling process is never followed, as long as its number is
    /// that which the first process namespace gives it.
    ///
    /// # Errors
    /// What is missing and how to mend it; see [`LoadError`].
    pub fn load(limits: &KernelLimits) -> Result<Self, LoadError> {
        let types = KernelTypes::of_this_kernel()?;
        let hooks = limits.hooks.on(&types)?;
        let offsets = layout::offsets(&types)?;
        let machine = layout::machine(&types);
        let calls = layout::calls();
        let (numbers, cast) = layout::numbers(&types)?;
        let object = layout::link(OBJECT, &offsets, &numbers, cast);
        let btf = Btf::from_sys_fs().map_err(LoadError::Types)?;
        // In another process namespace this process has another number: no process has 0.
        let reader = if is_first_namespace(Path::new("/proc")) { std::process::id() } else { 0 };
        let mut programs = EbpfLoader::new()
            .btf(Some(&btf))
            .override_global("MACHINE", machine.as_bytes(), true)
            .override_global("CALLS", calls.as_slice(), true)
            .override_global("READER", &reader, true)
            .map_max_entries("EVENTS", limits.ring_bytes)
            .map_max_entries("THREADS", limits.threads)
            .map_max_entries("PROCESSES", limits.processes)
            .map_max_entries("CGROUPS", limits.cgroups)
            .load(object.as_bytes())
            .map_err(error::object)?;
        let ring = RingBuf::try_from(map(&mut programs, "EVENTS")?).map_err(error::map)?;
        let wakes = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(LoadError::Poll)?;
        // Edges only: what waits in the ring without a wake-up is not worth one.
        let edges = epoll::EventFlags::IN | epoll::EventFlags::ET;
        // SAFETY: the ring keeps its descriptor open for as long as it lives.
        let descriptor = unsafe { BorrowedFd::borrow_raw(std::os::fd::AsRawFd::as_raw_fd(&ring)) };
        epoll::add(&wakes, descriptor, epoll::EventData::new_u64(0), edges).map_err(LoadError::Poll)?;
        let mut kernel = Self {
            ring,
            wakes,
            counters: map(&mut programs, "COUNTERS")?.try_into().map_err(error::map)?,
            settings: map(&mut programs, "SETTINGS")?.try_into().map_err(error::map)?,
            processes: map(&mut programs, "PROCESSES")?.try_into().map_err(error::map)?,
            cgroups: map(&mut programs, "CGROUPS")?.try_into().map_err(error::map)?,
            ports: map(&mut programs, "PORTS")?.try_into().map_err(error::map)?,
            now: Settings {
                head: 0,
                ladder: 0,
                processes: Policy::Only as u32,
                cgroups: Policy::All as u32,
                ports: Policy::All as u32,
                transports: 0,
                wake_bytes: 1,
                generation: 1,
            },
            hooks,
            without_peers: None,
            programs,
        };
        kernel.capture(&Capture::default()).map_err(|MapError(source)| error::map(source))?;
        kernel.attach(&types, &btf)?;
        Ok(kernel)
    }

    /// How much is captured, from now on.
    ///
    /// # Errors
    /// When the kernel refuses to change the map.
    pub fn capture(&mut self, capture: &Capture) -> Result<(), MapError> {
        self.now.head = capture.head;
        self.now.ladder = capture.ladder as u32;
        self.now.transports = u32::from(capture.tcp) | u32::from(capture.udp) << 1 | u32::from(capture.unix) << 2;
        self.now.wake_bytes = 1 << capture.wake_bytes.max(1).ilog2();
        self.publish()
    }

    fn publish(&mut self) -> Result<(), MapError> {
        self.settings.set(0, SettingsValue(self.now), 0).map_err(MapError)
    }

    /// Waits until so many bytes wait that the reader is to be woken, or the time is over. A reader that looks into the ring at regular
    /// times can do without.
    ///
    /// # Errors
    /// When it was interrupted, or the system is out of memory.
    pub fn wait(&self, timeout: Duration) -> Result<bool, rustix::io::Errno> {
        let timeout = rustix::event::Timespec::try_from(timeout).ok();
        let mut events = [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }];
        Ok(epoll::wait(&self.wakes, events.as_mut_slice(), timeout.as_ref())? != 0)
    }

    /// Hands over what waits in the ring, oldest first, but no more than `limit` records; gives how many. Each is a
    /// [`Header`](metaflow_ebpf_common::Header) with what belongs to it, and possibly bytes behind that mean nothing. The memory is
    /// the ring's own and 8-aligned.
    pub fn read(&mut self, limit: usize, mut each: impl FnMut(&[u8])) -> usize {
        let mut count = 0;
        while count < limit
            && let Some(record) = self.ring.next()
        {
            each(&record);
            count += 1;
        }
        count
    }

    /// What the programs counted since they were loaded, by [`Counter`].
    ///
    /// # Errors
    /// When the kernel refuses to read the map.
    pub fn counters(&self) -> Result<[u64; Counter::COUNT as usize], MapError> {
        let mut sums = [0; Counter::COUNT as usize];
        for counters in self.counters.get(&0, 0).map_err(MapError)?.iter() {
            sums.iter_mut().zip(counters).for_each(|(sum, number)| *sum += number);
        }
        Ok(sums)
    }

    /// The loaded programs with their names: for statistics that the kernel keeps of them.
    pub fn programs(&self) -> impl Iterator<Item = (&str, BorrowedFd<'_>)> {
        self.programs.programs().filter_map(|(name, program)| Some((name, program.fd().ok()?.as_fd())))
    }
}

impl AsFd for Kernel {
    /// Readable when [`Self::wait`] would return.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wakes.as_fd()
    }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Kernel").field("settings", &self.now).finish_non_exhaustive()
    }
}

fn map(programs: &mut Ebpf, name: &'static str) -> Result<aya::maps::Map, LoadError> {
    programs.take_map(name).ok_or(LoadError::Object { missing: name })
}
