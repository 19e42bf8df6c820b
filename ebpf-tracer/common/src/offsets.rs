//! Where members of the kernel's structures are: differs from kernel to kernel, and where registers are: from machine to machine.

macro_rules! offsets {
    ($($(#[$doc:meta])* $name:ident: $path:literal,)*) => {
        /// Offsets in bytes, as the kernel's BTF tells them. The loader puts them into the programs' code.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[cfg_attr(feature = "zerocopy", derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout))]
        #[repr(C)]
        pub struct Offsets {
            $($(#[$doc])* pub $name: u32,)*
        }

        impl Offsets {
            /// Where each is found: structure, then members, with dots between; in the order of the fields. Behind `?` what need not be there:
            /// then it is 0.
            pub const PATHS: &[&str] = &[$($path),*];
            /// Where the object loads this constant and the place of a field in this structure added, the loader puts the field's value.
            pub const PLACEHOLDER: u32 = 0x4f46_0000;
        }
    };
}

offsets! {
    /// Control groups of a task.
    task_cgroups: "task_struct.cgroups",
    /// Of these the one of version 2.
    cgroups_default: "css_set.dfl_cgrp",
    /// Its place in the file system.
    cgroup_node: "cgroup.kn",
    /// The number of this place.
    node_id: "kernfs_node.id",
    /// Open files of a task.
    task_files: "task_struct.files",
    /// Number of its process.
    task_tgid: "task_struct.tgid",
    /// Number of the thread.
    task_pid: "task_struct.pid",
    /// Its parent.
    task_real_parent: "task_struct.real_parent",
    /// `PF_EXITING` …
    task_flags: "task_struct.flags",
    /// What it uses of `io_uring`, if the kernel has that.
    task_io_uring: "?task_struct.io_uring",
    /// When it began.
    task_start_boottime: "task_struct.start_boottime",
    /// How it ended.
    task_exit_code: "task_struct.exit_code",
    /// What it shares with the other threads.
    task_signal: "task_struct.signal",
    /// Threads that have not ended.
    signal_live: "signal_struct.live",
    /// Name of the thread.
    task_comm: "task_struct.comm",
    /// Its namespaces.
    task_nsproxy: "task_struct.nsproxy",
    /// Of these the network's.
    nsproxy_net: "nsproxy.net_ns",
    /// Number of a network namespace.
    net_inum: "net.ns.inum",
    /// Table of open files.
    files_fdt: "files_struct.fdt",
    /// Files by descriptor.
    fdt_fd: "fdtable.fd",
    /// How many.
    fdt_max: "fdtable.max_fds",
    /// Inode of a file.
    file_inode: "file.f_inode",
    /// Of a socket's file the socket.
    file_private: "file.private_data",
    /// A socket and its inode are one piece of memory: from the one to the other.
    socket_inode: "socket_alloc.vfs_inode",
    /// Of a socket the file, if a process has it open.
    socket_file: "socket_alloc.socket.file",
    /// Kind of this inode.
    socket_mode: "socket_alloc.vfs_inode.i_mode",
    /// Its number.
    socket_number: "socket_alloc.vfs_inode.i_ino",
    /// Protocol's side of a socket.
    socket_sk: "socket_alloc.socket.sk",
    /// Files side of a protocol's socket.
    sk_socket: "sock.sk_socket",
    /// `SOCK_STREAM` …
    sk_type: "sock.sk_type",
    /// `IPPROTO_TCP` …
    sk_protocol: "sock.sk_protocol",
    /// `AF_INET` …
    sk_family: "sock.__sk_common.skc_family",
    /// `TCP_ESTABLISHED` …
    sk_state: "sock.__sk_common.skc_state",
    /// Bits by `enum sock_flags`.
    sk_flags: "sock.__sk_common.skc_flags",
    /// Whether a process works on it.
    sk_owned: "sock.sk_lock.owned",
    /// Which directions are shut down.
    sk_shutdown: "sock.sk_shutdown",
    /// How many connections may wait to be accepted; connections have it of the socket that listens.
    sk_backlog: "sock.sk_max_ack_backlog",
    /// 1 if only processes use it, and not the kernel for a file system or a disk: of Linux 6.2 and newer.
    sk_task_frag: "?sock.sk_use_task_frag",
    /// Local port.
    sk_local_port: "sock.__sk_common.skc_num",
    /// Port of the peer, in network byte order.
    sk_remote_port: "sock.__sk_common.skc_dport",
    /// Local IPv4 address.
    sk_local: "sock.__sk_common.skc_rcv_saddr",
    /// The peer's.
    sk_remote: "sock.__sk_common.skc_daddr",
    /// Local IPv6 address.
    sk_local_v6: "sock.__sk_common.skc_v6_rcv_saddr",
    /// The peer's.
    sk_remote_v6: "sock.__sk_common.skc_v6_daddr",
    /// The network namespace.
    sk_net: "sock.__sk_common.skc_net",
    /// Behind the last byte that was sent.
    tcp_write_seq: "tcp_sock.write_seq",
    /// Behind the last byte that was read.
    tcp_copied_seq: "tcp_sock.copied_seq",
    /// Behind the last byte that arrived.
    tcp_rcv_nxt: "tcp_sock.rcv_nxt",
    /// The first byte that was sent and not acknowledged.
    tcp_snd_una: "tcp_sock.snd_una",
    /// Behind the last byte that was put on the wire.
    tcp_snd_nxt: "tcp_sock.snd_nxt",
    /// When something was put on the wire last.
    tcp_wire_ns: "tcp_sock.tcp_wstamp_ns",
    /// How many bytes were acknowledged.
    tcp_acked: "tcp_sock.bytes_acked",
    /// How many bytes arrived.
    tcp_received: "tcp_sock.bytes_received",
    /// The other end of a Unix socket.
    unix_peer: "unix_sock.peer",
    /// The name of a Unix socket.
    unix_name: "unix_sock.addr",
    /// What a program is executed from.
    binprm_filename: "linux_binprm.filename",
}

macro_rules! types {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Numbers of the kernel's structures in its BTF, put into the programs' code as [`Offsets`] are. With them, and from Linux 6.2 on, a
        /// program tells the verifier what is at an address, and then reads it like its own memory. All 0 means that it has to ask the
        /// kernel for each member, which takes ten times as long.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[cfg_attr(feature = "zerocopy", derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout))]
        #[repr(C)]
        pub struct Types {
            $($(#[$doc])* pub $name: u32,)*
        }

        impl Types {
            /// Their names, in the order of the fields.
            pub const NAMES: &[&str] = &[$(stringify!($name)),*];
            /// As that of [`Offsets`].
            pub const PLACEHOLDER: u32 = 0x5459_0000;
        }
    };
}

types! {
    /// Begins with a pointer: so does any place in an array of pointers.
    list_head,
    /// An open file.
    file,
    /// A socket and its inode.
    socket_alloc,
    /// A socket of any protocol.
    sock,
    /// A socket of TCP.
    tcp_sock,
    /// A Unix socket.
    unix_sock,
}

impl Types {
    /// The kernel's function by which a program tells the type of what is at an address.
    pub const CAST: &str = "bpf_rdonly_cast";
    /// The call of it in the object has this number, in place of which the loader puts the function's, or 0 if there is none.
    pub const CAST_PLACEHOLDER: u32 = 0x5443_4152;
}

/// Where registers are in a `struct pt_regs`, in bytes: the value of the programs' constant `MACHINE`. One object serves every
/// little-endian machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "zerocopy",
    derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
)]
#[repr(C)]
pub struct Machine {
    /// Number of a system call; still there when it returns.
    pub number: u32,
    /// Arguments of a system call; the same.
    pub arguments: [u32; 6],
    /// Arguments of a function.
    pub parameters: [u32; 4],
    /// What a function returns.
    pub result: u32,
    /// The stack pointer.
    pub stack: u32,
    /// In a `task_struct`: a word with a bit for calls of another, narrower machine, whose numbers are others.
    pub narrow_at: u32,
    /// This bit, or 0 where there is none.
    pub narrow_bit: u32,
}
