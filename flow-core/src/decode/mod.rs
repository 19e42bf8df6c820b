//! Frames → the innermost conversation's packet: tags and tunnels taken off, fragments joined.

mod fragment;
mod ip;
mod layer;
mod link;
mod options;
mod plain;
mod region;
mod transport;
mod tunnel;

pub(crate) use fragment::{Datagram, Joined, Joins, Piece};
pub use layer::Layer;
pub(crate) use layer::Layers;
pub(crate) use options::TcpOptions;
pub(crate) use plain::{Plain, plain, plainest};
pub(crate) use region::Region;
#[cfg(test)]
pub(crate) use transport::Flags;
pub(crate) use transport::{Echo, Header, TcpHeader, transport};

use crate::key::{End, Route, Tuple};
use crate::{DropReason, Limits, LinkType, Packet};
use fragment::Fragments;

/// A packet of a conversation.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub(crate) tuple: Tuple,
    /// Who sent it.
    pub(crate) from: End,
    pub(crate) header: Header,
    /// What follows the fixed part of the header: so many bytes of options, and what the transport carries.
    pub(crate) behind: Region<'a>,
    pub(crate) options_len: u8,
    /// Frames it came in: more than one when it was fragmented.
    pub(crate) frames: u32,
    /// Their bytes on the wire.
    pub(crate) frame_bytes: u64,
}

impl<'a> View<'a> {
    /// What the transport carries.
    #[inline(always)]
    pub(crate) fn payload(&self) -> Region<'a> {
        self.behind.behind(u32::from(self.options_len))
    }

    /// How long that is.
    #[inline(always)]
    pub(crate) fn payload_len(&self) -> u32 {
        self.behind.len.saturating_sub(u32::from(self.options_len))
    }

    /// The options of a TCP segment.
    #[inline(always)]
    pub(crate) fn options(&self) -> TcpOptions<'a> {
        let bytes = self.behind.bytes;
        TcpOptions(bytes.get(..usize::from(self.options_len)).unwrap_or(bytes))
    }
}

/// What comes next in a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Next {
    Link(LinkType),
    Ethernet,
    EtherType(u16),
    /// A PPP frame behind its address and control fields.
    Ppp,
    /// An IP packet whose version nibble says which.
    Ip,
    /// The payload of an IP packet.
    Payload {
        route: Route,
        protocol: u8,
    },
}

/// How far a packet could be read.
pub(crate) enum Walked<'a> {
    Packet(View<'a>),
    /// A fragment that waits for the others.
    Waits,
    /// The last fragment of a datagram.
    Joined(Joined),
}

/// What a frame is.
#[derive(Debug)]
pub(crate) enum Decoded<'a> {
    Packet(View<'a>),
    /// A fragment that waits for the others.
    Waits,
}

/// Frames that are not followed, and why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dropped {
    pub(crate) reason: DropReason,
    pub(crate) frames: u32,
}

/// Reads frames. Keeps what it needs of one frame for the next: fragments.
#[derive(Debug)]
pub(crate) struct Decoder {
    /// Of the last packet.
    pub(crate) layers: Layers,
    pub(crate) fragments: Fragments,
    joined: Vec<u8>,
}

impl Decoder {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { layers: Layers::NONE, fragments: Fragments::new(limits), joined: Vec::new() }
    }

    /// Reads one frame, whatever it holds. Its tags and tunnels are in `layers` until the next.
    pub(crate) fn decode<'a>(&'a mut self, packet: &Packet<'a>) -> Result<(Decoded<'a>, &'a Layers), Dropped> {
        let Self { layers, fragments, joined } = self;
        fragments.frame(packet);
        let walked = walk_frame(packet, layers, fragments);
        let decoded = match walked.map_err(|reason| Dropped { reason, frames: 1 })? {
            Walked::Waits => Decoded::Waits,
            Walked::Packet(mut view) => {
                (view.frames, view.frame_bytes) = (1, u64::from(packet.original_len));
                Decoded::Packet(view)
            }
            Walked::Joined(whole) => {
                *joined = whole.bytes;
                let datagram = Region::new(joined, joined.len() as u32);
                let next = Next::Payload { route: whole.route, protocol: whole.protocol };
                // A fragmented packet within a fragmented one is followed no further.
                let walked = walk(next, datagram, layers, None::<&mut Fragments>);
                let Ok(Walked::Packet(mut view)) = walked else {
                    let reason = walked.err().unwrap_or(DropReason::Fragment);
                    return Err(Dropped { reason, frames: whole.frames });
                };
                (view.frames, view.frame_bytes) = (whole.frames, whole.frame_bytes);
                Decoded::Packet(view)
            }
        };
        Ok((decoded, layers))
    }
}

/// Reads a frame that holds a whole packet: `None` for the pieces of one, and for what is not followed.
pub(crate) fn whole<'a>(packet: &Packet<'a>, layers: &mut Layers) -> Option<View<'a>> {
    match walk_frame(packet, layers, &mut NoPieces) {
        Ok(Walked::Packet(view)) => Some(View { frames: 1, frame_bytes: u64::from(packet.original_len), ..view }),
        _ => None,
    }
}

/// Leaves pieces to somebody else.
struct NoPieces;

impl Joins for NoPieces {
    fn add(&mut self, _: &Layers, _: Piece, _: Region<'_>) -> Result<Option<Joined>, DropReason> {
        Ok(None)
    }
}

fn walk_frame<'a>(packet: &Packet<'a>, layers: &mut Layers, joins: &mut impl Joins) -> Result<Walked<'a>, DropReason> {
    layers.clear();
    if let Some(id) = packet.vlan {
        layers.push(Layer::Vlan(id & 0xfff));
    }
    let frame = Region::new(packet.captured, packet.original_len.max(packet.captured.len() as u32));
    walk(Next::Link(packet.link), frame, layers, Some(joins))
}

/// Takes off one header after the other. Without `fragments`, none are waited for.
pub(crate) fn walk<'a, J: Joins>(
    mut next: Next,
    mut region: Region<'a>,
    layers: &mut Layers,
    mut fragments: Option<&mut J>,
) -> Result<Walked<'a>, DropReason> {
    loop {
        (next, region) = match next {
            Next::Link(link) => link::link(link, region)?,
            Next::Ethernet => link::ethernet(region)?,
            Next::EtherType(ether_type) => link::ether_type(ether_type, region, layers)?,
            Next::Ppp => link::ppp(region)?,
            Next::Ip => match ip::ip(region, layers, fragments.as_deref_mut())? {
                ip::Ip::Payload(route, protocol, payload) => (Next::Payload { route, protocol }, payload),
                ip::Ip::Fragment => return Ok(Walked::Waits),
                ip::Ip::Joined(joined) => return Ok(Walked::Joined(joined)),
            },
            Next::Payload { route, protocol } => {
                if let Some(inner) = tunnel::over_ip(protocol, region, layers)? {
                    inner
                } else {
                    let view = transport(route, protocol, region)?;
                    let outer = layers.count();
                    if let (Header::Udp, Some((next, inner))) = (view.header, tunnel::over_udp(&view, layers)) {
                        match walk(next, inner, layers, fragments.as_deref_mut()) {
                            // What only looked like a tunnel, or carries nothing that is followed, is a conversation of its own.
                            Err(_) => layers.truncate(outer),
                            within => return within,
                        }
                    }
                    return Ok(Walked::Packet(view));
                }
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol_parsers::Timestamp;

    use super::*;

    /// Frames that are plain but for the bytes that the cases change.
    fn frames() -> Vec<Vec<u8>> {
        let tcp =
            [&[0x30, 0x39, 0, 80, 0, 0, 0, 7, 0, 0, 0, 9, 0x60, 0x18, 4, 0, 0, 0, 0, 0, 1, 1, 1, 1][..], b"payload"]
                .concat();
        let udp = |port: u16| {
            [&[0x30, 0x39][..], &port.to_be_bytes(), &[0, 24, 0, 0, 8, 0, 0, 0, 0, 0, 7, 0], b"8 bytes."].concat()
        };
        let mut frames = Vec::new();
        for (protocol, segment) in [(6, tcp), (17, udp(53)), (17, udp(4789))] {
            let length = segment.len() as u8;
            let v4 = [0x45, 0, 0, 20 + length, 0, 0, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
            let v6 = [&[0x60, 0, 0, 0, 0, length, protocol, 64][..], &[0xfd; 16], &[0xfe; 16]].concat();
            frames.push([&[0; 12][..], &[8, 0], &v4, &segment].concat());
            frames.push([&[0; 12][..], &[0x86, 0xdd], &v6, &segment, b"padding"].concat());
            frames.push([&[0; 12][..], &[0x81, 0, 0x60, 7, 8, 0], &v4, &segment].concat());
        }
        frames
    }

    /// What is read of a frame, as text.
    fn text(view: &View<'_>) -> String {
        format!("{:?} {:?} {:?} {:?} {:?}", view.tuple, view.from, view.header, view.options(), view.payload())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn plain_frames_are_read_as_header_by_header(
            which in 0..9usize,
            changes in proptest::collection::vec((12..70usize, any::<u8>()), 0..3),
            kept in 0..90usize,
            cut in any::<bool>(),
        ) {
            let mut frame = frames().swap_remove(which);
            for (at, byte) in changes {
                if let Some(place) = frame.get_mut(at) {
                    *place = byte;
                }
            }
            let original_len = frame.len() as u32;
            if cut {
                frame.truncate(kept);
            }
            let (time, link) = (Timestamp::ZERO, LinkType::ETHERNET);
            let packet = Packet { time, link, interface: 0, captured: &frame, original_len, vlan: None };
            let Some(plain) = plain(&packet) else { return Ok(()) };
            let (mut layers, region) = (Layers::NONE, Region::new(&frame, original_len));
            match walk(Next::Link(link), region, &mut layers, None::<&mut Fragments>) {
                Ok(Walked::Packet(view)) => prop_assert_eq!(text(&plain.view), text(&view)),
                _ => prop_assert!(false, "only the plain way reads it"),
            }
            prop_assert_eq!(layers.as_slice(), plain.tag.as_slice());
        }

    }

    /// The cases above would pass if nothing were plain.
    #[test]
    fn what_is_no_tunnel_is_plain() {
        let is_plain = frames().into_iter().map(|frame| {
            let (time, link, original_len) = (Timestamp::ZERO, LinkType::ETHERNET, frame.len() as u32);
            plain(&Packet { time, link, interface: 0, captured: &frame, original_len, vlan: None }).is_some()
        });
        // The last ones go to the port of VXLAN.
        assert_eq!(is_plain.collect::<Vec<_>>(), [true, true, true, true, true, true, false, false, false]);
    }
}
