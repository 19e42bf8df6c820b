//! The network interfaces there are.

use std::ffi::{CStr, CString, c_char, c_int};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;

use super::socket::check;
use crate::link::LinkType;

/// A network interface of this network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// The kernel's number of it, which [`Packet::interface`](crate::Packet) has.
    pub index: u32,
    /// The link type that its packets have in a [`Ring`](crate::Ring): Ethernet, or raw IP for one without Ethernet
    /// headers, such as a tunnel.
    pub link: LinkType,
    /// Whether it is up.
    pub up: bool,
    /// Whether it is a loopback interface.
    pub loopback: bool,
}

/// All interfaces, in the order of their index.
///
/// # Errors
/// What the kernel says.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    // Any socket can be asked about the interfaces of its namespace.
    let socket = UnixDatagram::unbound()?;
    let mut found: Vec<_> = names()?.into_iter().filter_map(|(name, index)| describe(&socket, name, index)).collect();
    found.sort_by_key(|interface| interface.index);
    Ok(found)
}

fn names() -> io::Result<Vec<(CString, u32)>> {
    // SAFETY: no memory is passed.
    let list = unsafe { libc::if_nameindex() };
    if list.is_null() {
        return Err(io::Error::last_os_error());
    }
    let mut names = Vec::new();
    let mut next = list;
    // SAFETY: the list lives until it is freed below, and an entry without a name ends it.
    while let Some(entry) = unsafe { next.as_ref() }.filter(|entry| !entry.if_name.is_null()) {
        // SAFETY: a name is a string that ends with zero.
        names.push((unsafe { CStr::from_ptr(entry.if_name) }.to_owned(), entry.if_index));
        next = next.wrapping_add(1);
    }
    // SAFETY: the list is from `if_nameindex`, and no reference into it is left.
    unsafe { libc::if_freenameindex(list) };
    Ok(names)
}

/// Nothing when the interface has gone meanwhile.
fn describe(socket: &UnixDatagram, name: CString, index: u32) -> Option<Interface> {
    // SAFETY: all zeros is a value of this structure of integers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.as_bytes()) {
        *to = *from as c_char;
    }
    let mut ask = |what| {
        // SAFETY: both requests that are made read and write a structure of the type that they are given.
        check(unsafe { libc::ioctl(socket.as_raw_fd(), what, &raw mut request) }).ok()?;
        Some(request.ifr_ifru)
    };
    // SAFETY: this request writes the flags.
    let flags = unsafe { ask(libc::SIOCGIFFLAGS)?.ifru_flags };
    // SAFETY: this request writes an address, whose family is the kind of the link layer.
    let kind = unsafe { ask(libc::SIOCGIFHWADDR)?.ifru_hwaddr.sa_family };
    let link = match kind {
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => LinkType::Ethernet,
        _ => LinkType::RawIp,
    };
    let has = |flag: c_int| c_int::from(flags) & flag != 0;
    let name = name.to_string_lossy().into_owned();
    Some(Interface { name, index, link, up: has(libc::IFF_UP), loopback: has(libc::IFF_LOOPBACK) })
}

/// Names in the order of their likeness to the one that was not found.
pub(super) fn by_likeness(interfaces: Vec<Interface>, wanted: &str) -> Vec<String> {
    let mut names: Vec<_> = interfaces.into_iter().map(|interface| interface.name).collect();
    names.sort_by_cached_key(|name| strsim::damerau_levenshtein(name, wanted));
    names
}
