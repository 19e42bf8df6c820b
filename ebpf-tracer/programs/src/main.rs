//! What runs in the kernel: looks at sockets or at system calls on them, at the calls of TLS libraries, and at the coming and going of
//! processes, and writes what it sees into a ring.
//!
//! It parses nothing and keeps nothing of a socket. What differs between kernels and machines comes from the loader as constants
//! ([`maps`]), so that one object serves all. Everything here runs in the time of the observed process: a thread that is not followed
//! costs one look into a table.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod arguments;
mod connection;
mod maps;
mod memory;
mod message;
mod process;
mod socket;
mod syscall;
mod task;
mod tls;
mod traffic;

/// Some helpers are only for programs under a licence that is compatible with the kernel's.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier refuses programs that could get here.
    loop {}
}
