//! Packets that are read before their turn, so that what it takes to follow them comes from the memory meanwhile.

use crate::decode::{Layers, Plain, View, plain, plainest, whole};
use crate::{Layer, Packet};

/// What was read of a packet.
pub(crate) struct Ahead<'a> {
    pub(crate) view: View<'a>,
    /// Where its layers begin and end in the list of those of all packets.
    layers: [u16; 2],
}

impl<'a> Ahead<'a> {
    /// Reads a packet into `place`, unless it is a piece of a larger one, or is not followed. Its layers are added to `list`.
    ///
    /// Written where it stays: a copy would wait until all its parts are written.
    #[inline(always)]
    pub(crate) fn read(packet: &Packet<'a>, layers: &mut Layers, list: &mut Vec<Layer>, place: &mut Option<Self>) {
        match plainest(packet) {
            Some(view) => *place = Some(Self { view, layers: [0, 0] }),
            None => Self::read_any(packet, layers, list, place),
        }
    }

    #[inline(never)]
    fn read_any(packet: &Packet<'a>, layers: &mut Layers, list: &mut Vec<Layer>, place: &mut Option<Self>) {
        let begin = list.len() as u16;
        if let Some(Plain { view, tag }) = plain(packet) {
            list.extend(tag);
            *place = Some(Self { view, layers: [begin, list.len() as u16] });
        } else if let Some(view) = whole(packet, layers) {
            list.extend_from_slice(layers.as_slice());
            *place = Some(Self { view, layers: [begin, list.len() as u16] });
        }
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
