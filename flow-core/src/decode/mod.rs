//! Frames → the innermost conversation's packet: tags and tunnels taken off, fragments joined.

mod fragment;
mod ip;
mod layer;
mod link;
mod plain;
mod region;
mod transport;
mod tunnel;

pub(crate) use fragment::{Datagram, Joined, Joins, Piece};
pub use layer::Layer;
pub(crate) use layer::Layers;
pub(crate) use region::Region;
pub(crate) use transport::{Header, TcpHeader, transport};

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
    /// What the transport carries.
    pub(crate) payload: Region<'a>,
    /// Frames it came in: more than one when it was fragmented.
    pub(crate) frames: u32,
    /// Their bytes on the wire.
    pub(crate) frame_bytes: u64,
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

    /// Reads one frame. Its tags and tunnels are in `layers` until the next.
    pub(crate) fn decode<'a>(&'a mut self, packet: &Packet<'a>) -> Result<(Decoded<'a>, &'a Layers), Dropped> {
        let Self { layers, fragments, joined } = self;
        layers.clear();
        if let Some(id) = packet.vlan {
            layers.push(Layer::Vlan(id & 0xfff));
        }
        fragments.frame(packet);
        if let Some(view) = plain::plain(packet) {
            return Ok((Decoded::Packet(view), layers));
        }
        let frame = Region::new(packet.captured, packet.original_len.max(packet.captured.len() as u32));
        let walked = walk(Next::Link(packet.link), frame, layers, Some(fragments));
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
