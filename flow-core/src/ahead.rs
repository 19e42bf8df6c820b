//! Packets that are read before their turn, so that what it takes to follow them comes from the memory meanwhile.

use crate::decode::{Layers, Plain, View, plain, whole};
use crate::table::{Found, Lookup};
use crate::{Layer, Packet};

/// What was read of a packet.
pub(crate) struct Ahead<'a> {
    pub(crate) view: View<'a>,
    /// Of its conversation.
    pub(crate) hash: u64,
    /// Where its conversation is, as far as the hash alone tells.
    pub(crate) found: Option<Found>,
    /// Where its layers begin and end in the list of those of all packets.
    layers: [u16; 2],
}

impl<'a> Ahead<'a> {
    /// Reads a packet into `place`, unless it is a piece of a larger one, or is not followed. Its layers are added to `list`.
    ///
    /// Written where it stays: a copy would wait until all its parts are written.
    #[inline(always)]
    pub(crate) fn read(packet: &Packet<'a>, layers: &mut Layers, list: &mut Vec<Layer>, place: &mut Option<Self>) {
        let begin = list.len() as u16;
        let Some(Plain { view, tag }) = plain(packet) else {
            *place = Self::read_any(packet, layers, list);
            return;
        };
        if let Some(tag) = tag {
            list.push(tag);
        }
        *place = Some(Self { view, hash: 0, found: None, layers: [begin, list.len() as u16] });
    }

    #[inline(never)]
    fn read_any(packet: &Packet<'a>, layers: &mut Layers, list: &mut Vec<Layer>) -> Option<Self> {
        let begin = list.len() as u16;
        let view = whole(packet, layers)?;
        list.extend_from_slice(layers.as_slice());
        Some(Self { view, hash: 0, found: None, layers: [begin, list.len() as u16] })
    }

    /// How its conversation is looked for.
    #[inline(always)]
    pub(crate) fn lookup(&self) -> Lookup {
        let guess = if let Some(Found::Flow(slot)) = self.found { Some(slot) } else { None };
        Lookup { hash: self.hash, guess }
    }

    /// What was taken off it, from the list of all.
    #[inline(always)]
    pub(crate) fn layers<'l>(&self, list: &'l [Layer]) -> &'l [Layer] {
        let [begin, end] = self.layers;
        list.get(usize::from(begin)..usize::from(end)).unwrap_or_default()
    }

    #[inline(always)]
    pub(crate) fn has_layers(&self) -> bool {
        let [begin, end] = self.layers;
        begin != end
    }
}
