//! What happens on sockets.

use crate::Header;

/// Something that a process did with a socket, or the piece of a message that it sent or received. Nothing is kept of a socket in the
/// kernel: each event says all that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "zerocopy",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct SocketEvent {
    /// `time_ns` is when the call returned, or all but its return was done.
    pub header: Header,
    /// When the call began, or when what it sent was put on the wire; 0 where neither is known.
    pub enter_ns: u64,
    /// Number of the socket's inode: as long as it is open no other has it. The number in `/proc/PID/fd`: `socket:[NUMBER]`.
    pub inode: u64,
    /// Unix sockets: number of the other end's inode, 0 if there is none.
    pub peer_inode: u64,
    /// Number of the thread's control group (version 2).
    pub cgroup: u64,
    /// [`Source::Openssl`]: which TLS connection of the process.
    pub tls: u64,
    /// Number of the network namespace's inode.
    pub netns: u32,
    /// The file descriptor; -1 where it is not known.
    pub fd: i32,
    /// Bytes of the whole message.
    pub total: u32,
    /// Where the payload begins in the message.
    pub at: u32,
    /// With [`Flags::POSITION`]: TCP sequence number of the message's first byte; of plaintext how many bytes came before it on this TLS
    /// connection in this direction, as far as was seen.
    pub position: u32,
    /// An [`Operation`].
    pub operation: u8,
    /// A [`Source`].
    pub source: u8,
    /// [`Flags`].
    pub flags: u16,
    /// `AF_UNIX` 1, `AF_INET` 2, `AF_INET6` 10.
    pub family: u8,
    /// `SOCK_STREAM` 1, `SOCK_DGRAM` 2, `SOCK_SEQPACKET` 5.
    pub socket_type: u8,
    /// `IPPROTO_TCP` 6, `IPPROTO_UDP` 17, …
    pub protocol: u8,
    /// State of a TCP connection, as `TCP_ESTABLISHED` 1 …
    pub state: u8,
    /// Ports, in host byte order.
    pub local_port: u16,
    /// 0 where the socket is not connected and the call names no address.
    pub remote_port: u16,
    /// Addresses: IPv6, or IPv4 in the first four bytes.
    pub local: [u8; 16],
    /// Of the peer: of the socket, or of the call where the socket is not connected.
    pub remote: [u8; 16],
    /// Name of the thread, up to a zero.
    pub comm: [u8; 16],
    /// Messages of the calling thread's processor that found no room in the ring so far (wraps).
    pub lost: u32,
    /// 0.
    pub reserved: u32,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// The process sent a message.
    Send = 1,
    /// It received one.
    Receive = 2,
    /// It connected the socket to a peer; `total` is 0, or the number of the error as far as it is known
    /// (`EINPROGRESS` is none).
    Connect = 3,
    /// A listening socket accepted this connection; told when it does, or with the first message.
    Accept = 4,
    /// It closed its descriptor, which need not be the last one. Where `fd` is -1, it was the last one, or neither end sends any more.
    Close = 5,
    /// It shut down its sending side (`shutdown`).
    Shutdown = 6,
    /// `socketpair` made this one, its first; `peer_inode` is the other.
    Pair = 7,
    /// The thread uses `io_uring`: what it does through that is not seen, or without payload. At most once per thread; `inode` is 0.
    IoUring = 8,
}

/// Where the bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Source {
    /// A system call, or `io_uring`: what is sent over the socket.
    Syscall = 0,
    /// OpenSSL: what it encrypts and decrypts.
    Openssl = 1,
}

/// What else is to be said of a [`SocketEvent`].
pub struct Flags;

impl Flags {
    /// `position` is known.
    pub const POSITION: u16 = 1;
    /// Nothing more of this message comes: what is missing of `total` behind the payload was not captured.
    pub const LAST: u16 = 2;
    /// The bytes could not be read from the process's memory.
    pub const UNREADABLE: u16 = 4;
    /// They came from a file (`sendfile`, `splice`) and were not in the process's memory.
    pub const FILE: u16 = 8;
    /// Received without being taken out of the socket (`MSG_PEEK`).
    pub const PEEK: u16 = 16;
    /// The socket is known to carry TLS whose plaintext comes as events of another [`Source`].
    pub const ENCRYPTED: u16 = 32;
    /// A connected Unix socket, neither end of which has a name: `socketpair` made it.
    pub const PAIR: u16 = 64;
    /// Of the ends of a connection of Unix sockets this one has a name: it is the server's.
    pub const SERVER: u16 = 128;
    /// The other one has a name: this is the client's.
    pub const CLIENT: u16 = 256;
}
