//! Which socket is below a TLS connection that tells none.
//!
//! A process may send and receive the ciphertext itself and have the library work on memory only. Then a thread sends next what it has
//! encrypted, and has received just before what it decrypts:
//!
//! ```text
//!  encrypts  n bytes   of a TLS connection        receives  m bytes   from a socket
//!  sends     n + 22    to a socket                decrypts  m − 22    of a TLS connection
//! ```

use std::collections::HashMap;

use super::piece::Way;
use super::table::Key;
use crate::hash::keyed;
use crate::threads::Thread;

/// A record of TLS of the type `application_data` begins so, in all versions from 1.0 on (RFC 8446 §5.2).
const APPLICATION_DATA: [u8; 2] = [23, 3];
/// Plaintext of one record at most (RFC 8446 §5.1).
const RECORD: u32 = 1 << 14;
/// Header and authentication code take as much at least, and with padding (RFC 5246 §6.2.3.2) as much at most, per record.
const OVERHEAD: [u32; 2] = [21, 128];

/// What threads did last of what matters here.
#[derive(Debug)]
pub(super) struct Beneath(HashMap<Thread, Last, ahash::RandomState>);

#[derive(Clone, Copy, Debug)]
enum Last {
    Encrypted(Key, u32),
    Received(u64, u32),
}

impl Beneath {
    pub(super) fn new() -> Self {
        Self(HashMap::with_hasher(keyed()))
    }

    /// A thread sent or received a message of so many bytes on a socket, that begins so. The TLS connection above, if that shows.
    pub(super) fn wire(
        &mut self,
        thread: Thread,
        way: Way,
        inode: u64,
        total: u32,
        begins: &[u8],
        limit: usize,
    ) -> Option<Key> {
        if !begins.starts_with(&APPLICATION_DATA) {
            return None;
        }
        if way == Way::Received {
            self.insert(thread, Last::Received(inode, total), limit);
            return None;
        }
        let Some(Last::Encrypted(key, plain)) = self.0.remove(&thread) else { return None };
        let records = plain.div_ceil(RECORD);
        let fits = total.checked_sub(plain).is_some_and(|more| more >= OVERHEAD[0] && more <= records * OVERHEAD[1]);
        fits.then_some(key)
    }

    /// A thread encrypted or decrypted so many bytes of a TLS connection. The socket below, if that shows.
    pub(super) fn plaintext(&mut self, thread: Thread, way: Way, key: Key, total: u32, limit: usize) -> Option<u64> {
        if way == Way::Sent {
            self.insert(thread, Last::Encrypted(key, total), limit);
            return None;
        }
        let Some(Last::Received(inode, cipher)) = self.0.remove(&thread) else { return None };
        cipher.checked_sub(total).is_some_and(|more| more >= OVERHEAD[0]).then_some(inode)
    }

    /// What is lost when there is no room is found out again with the next message.
    fn insert(&mut self, thread: Thread, last: Last, limit: usize) {
        if self.0.len() >= limit && !self.0.contains_key(&thread) {
            self.0.clear();
        }
        self.0.insert(thread, last);
    }
}
