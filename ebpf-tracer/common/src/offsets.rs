//! Where members of the kernel's structures are: differs from kernel to kernel.

macro_rules! offsets {
    ($($(#[$doc:meta])* $name:ident: $path:literal,)*) => {
        /// Offsets in bytes, as the kernel's BTF tells them. Each program has them as a constant.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[cfg_attr(feature = "zerocopy", derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout))]
        #[repr(C)]
        pub struct Offsets {
            $($(#[$doc])* pub $name: u32,)*
        }

        impl Offsets {
            /// Where each is found: structure, then members, with dots between; in the order of the fields.
            pub const PATHS: &[&str] = &[$($path),*];
        }
    };
}

offsets! {
    /// Open files of a task.
    task_files: "task_struct.files",
    /// Its first thread.
    task_group_leader: "task_struct.group_leader",
    /// Number of its process.
    task_tgid: "task_struct.tgid",
    /// Number of the thread.
    task_pid: "task_struct.pid",
    /// Its parent.
    task_real_parent: "task_struct.real_parent",
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
    /// Kind of an inode.
    inode_mode: "inode.i_mode",
    /// Its number.
    inode_number: "inode.i_ino",
    /// Protocol's side of a socket.
    socket_sk: "socket.sk",
    /// `SOCK_STREAM` …
    socket_type: "socket.type",
    /// Files side of a protocol's socket.
    sk_socket: "sock.sk_socket",
    /// `IPPROTO_TCP` …
    sk_protocol: "sock.sk_protocol",
    /// `AF_INET` …
    sk_family: "sock.__sk_common.skc_family",
    /// `TCP_ESTABLISHED` …
    sk_state: "sock.__sk_common.skc_state",
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
    /// Network namespace.
    sk_net: "sock.__sk_common.skc_net",
    /// Behind the last byte that was sent.
    tcp_write_seq: "tcp_sock.write_seq",
    /// Behind the last byte that was read.
    tcp_copied_seq: "tcp_sock.copied_seq",
    /// The other end of a Unix socket.
    unix_peer: "unix_sock.peer",
    /// What a program is executed from.
    binprm_filename: "linux_binprm.filename",
}
