//! Bytes of the ring as events.

use metaflow_ebpf_common::{Header, Kind, Operation, ProcessEvent, SocketEvent};
use zerocopy::FromBytes;

/// What a record of the ring says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Something happened on a socket; with the bytes of it that were captured.
    Socket(SocketEvent, &'a [u8]),
    /// Something happened to a process; with the path of the program where one was executed.
    Process(ProcessEvent, &'a [u8]),
}

impl<'a> Event<'a> {
    /// Reads a record. What is behind the payload is left out: records of the ring may be longer than they need to be.
    ///
    /// # Errors
    /// [`EventError`] when the record is none that this version writes.
    pub fn parse(record: &'a [u8]) -> Result<Self, EventError> {
        let (header, _) = Header::read_from_prefix(record).map_err(|_| EventError::Short)?;
        match Kind::of(header.kind).ok_or(EventError::Kind(header.kind))? {
            Kind::Socket => {
                let (event, rest) = SocketEvent::read_from_prefix(record).map_err(|_| EventError::Short)?;
                let operation = operation(event.operation).ok_or(EventError::Operation(event.operation))?;
                let payload = payload(&header, rest)?;
                let end = u64::from(event.at) + payload.len() as u64;
                if matches!(operation, Operation::Send | Operation::Receive) && end > u64::from(event.total) {
                    return Err(EventError::Payload);
                }
                Ok(Self::Socket(event, payload))
            }
            Kind::Process => {
                let (event, rest) = ProcessEvent::read_from_prefix(record).map_err(|_| EventError::Short)?;
                if !(ProcessEvent::FORKED..=ProcessEvent::ENDED).contains(&event.change) {
                    return Err(EventError::Change(event.change));
                }
                Ok(Self::Process(event, payload(&header, rest)?))
            }
        }
    }

    /// What every event begins with.
    #[must_use]
    pub fn header(&self) -> &Header {
        match self {
            Self::Socket(event, _) => &event.header,
            Self::Process(event, _) => &event.header,
        }
    }
}

/// Why a record of the ring is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// It ends before what it says it has.
    #[error("record is cut short")]
    Short,
    /// It is about something that this version does not know.
    #[error("unknown kind of record {0}")]
    Kind(u32),
    /// An unknown operation on a socket.
    #[error("unknown operation {0}")]
    Operation(u8),
    /// An unknown change of a process.
    #[error("unknown change of a process {0}")]
    Change(u32),
    /// Its payload goes beyond the message that it is a piece of.
    #[error("payload goes beyond the end of its message")]
    Payload,
}

/// The operation of this number.
pub(crate) fn operation(number: u8) -> Option<Operation> {
    use Operation::{Accept, Close, Connect, IoUring, Pair, Receive, Send, Shutdown};
    [Send, Receive, Connect, Accept, Close, Shutdown, Pair, IoUring]
        .into_iter()
        .find(|operation| *operation as u8 == number)
}

fn payload<'a>(header: &Header, rest: &'a [u8]) -> Result<&'a [u8], EventError> {
    let length = usize::try_from(header.payload).map_err(|_| EventError::Short)?;
    rest.get(..length).ok_or(EventError::Short)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zerocopy::IntoBytes;

    use super::*;

    fn socket(payload: u32, at: u32, total: u32) -> SocketEvent {
        let header = Header { kind: Kind::Socket as u32, payload, ..Header::default() };
        SocketEvent { header, at, total, operation: Operation::Send as u8, ..SocketEvent::default() }
    }

    #[test]
    fn a_record_longer_than_its_payload_is_cut() {
        let event = socket(3, 0, 5);
        let record = [event.as_bytes(), b"GET / HTTP"].concat();
        assert_eq!(Event::parse(&record), Ok(Event::Socket(event, b"GET")));
    }

    #[test]
    fn lengths_that_lie_are_errors() {
        let short = [socket(9, 0, 9).as_bytes(), b"GET"].concat();
        assert_eq!(Event::parse(&short), Err(EventError::Short));
        let beyond = [socket(3, 3, 5).as_bytes(), b"GET"].concat();
        assert_eq!(Event::parse(&beyond), Err(EventError::Payload));
        let wraps = [socket(3, u32::MAX, 5).as_bytes(), b"GET"].concat();
        assert_eq!(Event::parse(&wraps), Err(EventError::Payload));
    }

    #[test]
    fn what_is_unknown_is_named() {
        let mut event = socket(0, 0, 0);
        event.operation = 9;
        assert_eq!(Event::parse(event.as_bytes()), Err(EventError::Operation(9)));
        event.header.kind = 7;
        assert_eq!(Event::parse(event.as_bytes()), Err(EventError::Kind(7)));
        let header = Header { kind: Kind::Process as u32, ..Header::default() };
        let change = ProcessEvent { header, ..ProcessEvent::default() };
        assert_eq!(Event::parse(change.as_bytes()), Err(EventError::Change(0)));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_no_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0_u8..4) {
            if let Some(first) = bytes.first_mut() {
                *first = kind;
            }
            let _ = Event::parse(&bytes);
        }

        #[test]
        fn every_prefix_of_an_event_is_short(cut in 0_usize..200) {
            let record = [socket(48, 0, 48).as_bytes(), &[7; 48]].concat();
            prop_assert_eq!(Event::parse(&record[..cut.min(record.len() - 1)]), Err(EventError::Short));
        }
    }
}
