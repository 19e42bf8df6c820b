//! TCP conversations as lists of frames, which a test may shuffle, cut and spoil before an engine sees them.

use std::time::Duration;

use protocol_parsers::Timestamp;

use crate::frames::{ACK, CLIENT, FIN, RST, SERVER, SYN, Segment, TCP, ipv4};
use crate::lab::START;

/// An IP packet and when it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) time: Timestamp,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Client,
    Server,
}

/// A conversation of `10.0.0.1:40000` with `10.0.0.2:80`. Every segment comes a millisecond after the one before, acknowledges
/// what the other side sent, and goes on where its side stopped, unless said otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) now: Timestamp,
    pub(crate) frames: Vec<Frame>,
    pub(crate) client: Peer,
    pub(crate) server: Peer,
    pub(crate) window: u16,
    /// Those of TCP, padded.
    pub(crate) options: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: [u8; 4],
    pub(crate) port: u16,
    /// Sequence number of what it sends next.
    pub(crate) next: u32,
}

/// Between two segments.
pub(crate) const STEP: Duration = Duration::from_millis(1);

impl Script {
    pub(crate) fn new() -> Self {
        Self {
            now: START,
            frames: Vec::new(),
            client: Peer { address: CLIENT, port: 40_000, next: 1000 },
            server: Peer { address: SERVER, port: 80, next: 5000 },
            window: 1024,
            options: Vec::new(),
        }
    }

    /// With the handshake done.
    pub(crate) fn opened() -> Self {
        Self::opened_on(40_000)
    }

    /// The same from another port of the client.
    pub(crate) fn opened_on(port: u16) -> Self {
        let mut script = Self::new().on_port(port);
        script.open();
        script
    }

    pub(crate) fn on_port(mut self, port: u16) -> Self {
        self.client.port = port;
        self
    }

    pub(crate) fn starting(mut self, client: u32, server: u32) -> Self {
        (self.client.next, self.server.next) = (client, server);
        self
    }

    pub(crate) fn at(mut self, time: Timestamp) -> Self {
        self.now = time;
        self
    }

    pub(crate) fn wait(&mut self, time: Duration) -> &mut Self {
        self.now = self.now + time;
        self
    }

    pub(crate) fn open(&mut self) -> &mut Self {
        self.send(Who::Client, SYN, b"").send(Who::Server, SYN | ACK, b"").send(Who::Client, ACK, b"")
    }

    pub(crate) fn client(&mut self, data: &[u8]) -> &mut Self {
        self.send(Who::Client, ACK, data)
    }

    pub(crate) fn server(&mut self, data: &[u8]) -> &mut Self {
        self.send(Who::Server, ACK, data)
    }

    /// Both close, the client first.
    pub(crate) fn close(&mut self) -> &mut Self {
        self.send(Who::Client, FIN | ACK, b"").send(Who::Server, FIN | ACK, b"").send(Who::Client, ACK, b"")
    }

    pub(crate) fn reset(&mut self, who: Who) -> &mut Self {
        self.send(who, RST | ACK, b"")
    }

    /// What this side says next.
    pub(crate) fn send(&mut self, who: Who, flags: u8, data: &[u8]) -> &mut Self {
        let (mine, other) = self.peers(who);
        let (seq, ack) = (mine.next, if flags & ACK == 0 { 0 } else { other.next });
        let numbers = data.len() as u32 + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        let mine = if who == Who::Client { &mut self.client } else { &mut self.server };
        mine.next = mine.next.wrapping_add(numbers);
        self.segment(who, seq, ack, flags, data)
    }

    /// Whatever is wanted; what follows goes on as if it had not been.
    pub(crate) fn segment(&mut self, who: Who, seq: u32, ack: u32, flags: u8, data: &[u8]) -> &mut Self {
        let (mine, other) = self.peers(who);
        let segment = Segment { seq, ack, flags, window: self.window, data };
        let bytes = ipv4(mine.address, other.address, TCP, &segment.bytes_with(mine.port, other.port, &self.options));
        self.frames.push(Frame { time: self.now, bytes });
        self.wait(STEP)
    }

    /// The last segment, lost by the capture.
    pub(crate) fn lose(&mut self) -> &mut Self {
        self.frames.pop();
        self
    }

    fn peers(&self, who: Who) -> (&Peer, &Peer) {
        match who {
            Who::Client => (&self.client, &self.server),
            Who::Server => (&self.server, &self.client),
        }
    }
}
