//! A place to look at messages as they pass.

use crate::connection::{Active, Skip};
use crate::pairing::position_of;
use crate::{Dissector, Part, Side};

/// Sees headers, and the first bytes of bodies, while a chunk that holds them is handed in. What it sees is borrowed and not redacted;
/// nothing is copied for it, and without one nothing is done.
///
/// | protocol | headers | body |
/// |---|---|---|
/// | HTTP/1 | of requests and answers, trailers | yes |
/// | HTTP/2, gRPC, Triple | the same, pseudo-headers included | yes |
/// | Dubbo 2 | attachments of requests that are texts, as far as [their form](crate::dubbo) is read | no |
/// | Kafka | of the first 32 records of a message that is not compressed: names up to 64 bytes, values up to 1 KiB | no |
/// | others | have none | no |
///
/// A message belongs to the call that is reported with the same key; a tap that is to tell connections apart notes which one it pushes.
///
/// ```
/// use std::sync::mpsc::{Sender, channel};
/// use protocol_parsers::{Connection, Dissector, Opening, Options, Part, Side, StreamChunk, Tap, Timestamp};
///
/// struct Tenants(Sender<String>);
///
/// impl Tap for Tenants {
///     fn header(&mut self, _message: Part, name: &[u8], value: &[u8]) {
///         if name.eq_ignore_ascii_case(b"x-tenant") {
///             let _ = self.0.send(String::from_utf8_lossy(value).into_owned());
///         }
///     }
/// }
///
/// let (tenants, seen) = channel();
/// let mut dissector = Dissector::new(Options::default());
/// dissector.set_tap(Some(Box::new(Tenants(tenants))));
/// let bytes = b"GET / HTTP/1.1\r\nHost: h\r\nX-Tenant: blue\r\n\r\n";
/// let chunk = StreamChunk { side: Side::Client, time: Timestamp::ZERO, offset: 0, bytes, missing: 0 };
/// dissector.push(&mut Connection::new(Opening::TCP), chunk);
/// assert_eq!(seen.try_recv().as_deref(), Ok("blue"));
/// ```
pub trait Tap: Send {
    /// A header of a message whose head is complete, or a trailer, an attachment or a header of a record. Comes in the order of the message,
    /// once. Interim answers (1xx) have headers, too.
    fn header(&mut self, message: Part, name: &[u8], value: &[u8]);

    /// Bytes behind the head as they stand on the wire: with the lines between chunks, with frame headers and padding. `at` is their
    /// position in the message, head included; none come from beyond [`Limits::tap_bytes`](crate::Limits::tap_bytes), and what was not
    /// captured is left out.
    fn body(&mut self, message: Part, at: u64, bytes: &[u8]) {
        let _ = (message, at, bytes);
    }
}

impl Dissector {
    /// Has a tap look at what passes from now on, or none. Returns the one before.
    pub fn set_tap(&mut self, tap: Option<alloc::boxed::Box<dyn Tap>>) -> Option<alloc::boxed::Box<dyn Tap>> {
        core::mem::replace(&mut self.tap, tap)
    }

    /// Shows bytes that are about to be passed over.
    pub(crate) fn show(&mut self, connection: &mut Active, side: Side, bytes: &[u8]) {
        let Skip { left, of: Some(part), .. } = connection.lane(side).skip else { return };
        let Some(tap) = self.tap.as_deref_mut() else { return };
        let Some(at) = position_of(connection, side, part).and_then(|position| {
            connection.open.change(position, |record| match part {
                Part::Request(_) => record.request_bytes,
                Part::Response(_) => record.response_bytes,
            })
        }) else {
            return;
        };
        let room = (self.options.limits.tap_bytes as u64).saturating_sub(at).min(left);
        let count = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        if let (Some(shown), 1..) = (bytes.get(..count), count) {
            tap.body(part, at, shown);
        }
    }
}
