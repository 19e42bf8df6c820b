//! IP of both versions: true lengths, extension headers, fragments.

use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice};

use super::fragment::{Datagram, Joined, Joins, Piece};
use super::{Layer, Layers, Region};
use crate::DropReason;
use crate::key::Route;

/// What an IP packet holds.
pub(super) enum Ip<'a> {
    Payload(Route, u8, Region<'a>),
    /// A fragment that waits for the others.
    Fragment,
    Joined(Joined),
}

/// Extension headers of IPv6 (RFC 8200 §4, IANA's list) that have the common form: next header, length in 8 bytes less one.
const EXTENSIONS: [u8; 6] = [0, 43, 60, 135, 139, 140];
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
/// More extension headers than any honest packet has.
const MOST_EXTENSIONS: usize = 12;

pub(super) fn ip<'a>(
    region: Region<'a>,
    layers: &mut Layers,
    fragments: Option<&mut impl Joins>,
) -> Result<Ip<'a>, DropReason> {
    match region.u8(0).ok_or(DropReason::CutShort)? >> 4 {
        4 => ipv4(region, layers, fragments),
        6 => ipv6(region, layers, fragments),
        _ => Err(DropReason::Malformed),
    }
}

/// Bytes that are not there: because the capture left them out, or because they never were.
fn short(region: Region<'_>) -> DropReason {
    if region.missing() > 0 { DropReason::CutShort } else { DropReason::Malformed }
}

fn ipv4<'a>(region: Region<'a>, layers: &mut Layers, fragments: Option<&mut impl Joins>) -> Result<Ip<'a>, DropReason> {
    let header = Ipv4HeaderSlice::from_slice(region.bytes).map_err(|_| short(region))?;
    let header_len = header.slice().len();
    // Segmentation offload leaves 0 in the packets of this host.
    let total = match header.total_len() {
        0 => region.len,
        length if usize::from(length) < header_len => return Err(DropReason::Malformed),
        length => u32::from(length),
    };
    let payload = Region::new(region.bytes, total).skip(header_len).ok_or_else(|| short(region))?;
    let [from, to] = [header.source(), header.destination()].map(u32::from_be_bytes);
    let route = Route::V4 { from, to };
    let protocol = header.protocol().0;
    if header.is_fragmenting_payload() {
        let piece = Piece {
            datagram: Datagram { route, protocol, id: u32::from(header.identification()) },
            offset: u32::from(header.fragments_offset().value()) * 8,
            more: header.more_fragments(),
        };
        return join(fragments, layers, piece, payload);
    }
    behind_authentication(route, protocol, payload, layers)
}

fn ipv6<'a>(region: Region<'a>, layers: &mut Layers, fragments: Option<&mut impl Joins>) -> Result<Ip<'a>, DropReason> {
    let header = Ipv6HeaderSlice::from_slice(region.bytes).map_err(|_| short(region))?;
    // 0 stands for a jumbogram (RFC 2675), or for segmentation offload.
    let total = match header.payload_length() {
        0 => region.len,
        length => u32::from(length) + 40,
    };
    let words = |address: [u8; 16]| {
        let address = u128::from_be_bytes(address);
        [(address >> 64) as u64, address as u64]
    };
    let route = Route::V6 { from: words(header.source()), to: words(header.destination()) };
    let mut protocol = header.next_header().0;
    let mut rest = Region::new(region.bytes, total).skip(40).ok_or_else(|| short(region))?;
    for _ in 0..MOST_EXTENSIONS {
        if EXTENSIONS.contains(&protocol) {
            let [next, length] = rest.array(0).ok_or_else(|| short(rest))?;
            protocol = next;
            rest = rest.skip((usize::from(length) + 1) * 8).ok_or_else(|| short(rest))?;
        } else if protocol == FRAGMENT {
            let [next, _, high, low, id @ ..]: [u8; 8] = rest.array(0).ok_or_else(|| short(rest))?;
            let field = u16::from_be_bytes([high, low]);
            protocol = next;
            rest = rest.skip(8).ok_or_else(|| short(rest))?;
            let (offset, more) = (u32::from(field & !7), field & 1 == 1);
            // An atomic fragment is a whole packet (RFC 6946).
            if offset == 0 && !more {
                continue;
            }
            let datagram = Datagram { route, protocol, id: u32::from_be_bytes(id) };
            return join(fragments, layers, Piece { datagram, offset, more }, rest);
        } else {
            return behind_authentication(route, protocol, rest, layers);
        }
    }
    Err(DropReason::TooDeep)
}

/// The authentication header counts its length in 4 bytes less two (RFC 4302 §2.2); what follows it is in clear text.
fn behind_authentication<'a>(
    route: Route,
    protocol: u8,
    payload: Region<'a>,
    layers: &mut Layers,
) -> Result<Ip<'a>, DropReason> {
    if protocol != AUTHENTICATION {
        return Ok(Ip::Payload(route, protocol, payload));
    }
    let [next, length] = payload.array(0).ok_or_else(|| short(payload))?;
    if !layers.push(Layer::Ah) {
        return Err(DropReason::TooDeep);
    }
    let rest = payload.skip((usize::from(length) + 2) * 4).ok_or_else(|| short(payload))?;
    Ok(Ip::Payload(route, next, rest))
}

fn join<'a>(
    fragments: Option<&mut impl Joins>,
    layers: &Layers,
    piece: Piece,
    payload: Region<'_>,
) -> Result<Ip<'a>, DropReason> {
    let fragments = fragments.ok_or(DropReason::Fragment)?;
    Ok(match fragments.add(layers, piece, payload)? {
        Some(joined) => Ip::Joined(joined),
        None => Ip::Fragment,
    })
}
