//! What was taken off a packet on the way to its innermost conversation.

use std::fmt;

/// One layer that was taken off: a VLAN tag or a tunnel header. Written as in the records, `vxlan:42`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layer {
    /// A VLAN tag (IEEE 802.1Q) with its identifier.
    Vlan(u16),
    /// MPLS (RFC 3032) with a label.
    Mpls(u32),
    /// PPP over Ethernet (RFC 2516) with its session.
    Pppoe(u16),
    /// IPv4 or IPv6 within IPv4 or IPv6 (RFC 2003, 2473, 4213).
    Ipip,
    /// GRE (RFC 2784, 2890) with its key, if there is one.
    Gre(Option<u32>),
    /// PPP within GRE (PPTP, RFC 2637) with its call.
    Pptp(u16),
    /// ERSPAN with its type (1 to 3) and session (0 in type 1).
    Erspan(u8, u16),
    /// VXLAN (RFC 7348) or its generic extension, with its network.
    Vxlan(u32),
    /// Geneve (RFC 8926) with its network.
    Geneve(u32),
    /// A service function chain (RFC 8300) with its path.
    Nsh(u32),
    /// GTP-U (3GPP TS 29.281) with its endpoint.
    Gtp(u32),
    /// Teredo (RFC 4380).
    Teredo,
    /// L2TP version 2 (RFC 2661) with tunnel and session.
    L2tp(u16, u16),
    /// Ethernet within IP (RFC 3378).
    EtherIp,
    /// IP security's authentication header (RFC 4302), whose content is in clear text.
    Ah,
}

impl Layer {
    /// The layer as far as it distinguishes conversations. Some numbers differ between the two directions of a tunnel, or mean
    /// nothing (VLAN 0 carries a priority only): these are none of the conversation's key.
    pub(crate) fn in_key(self, vlans: bool) -> Option<Self> {
        match self {
            Self::Vlan(0) | Self::Ah => None,
            Self::Vlan(_) if !vlans => None,
            Self::Mpls(_) => Some(Self::Mpls(0)),
            Self::Pptp(_) => Some(Self::Pptp(0)),
            Self::Gtp(_) => Some(Self::Gtp(0)),
            Self::L2tp(..) => Some(Self::L2tp(0, 0)),
            Self::Nsh(_) => Some(Self::Nsh(0)),
            // A mirror session may be one per direction.
            Self::Erspan(version, _) => Some(Self::Erspan(version, 0)),
            same => Some(same),
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vlan(id) => write!(f, "vlan:{id}"),
            Self::Mpls(label) => write!(f, "mpls:{label}"),
            Self::Pppoe(session) => write!(f, "pppoe:{session}"),
            Self::Ipip => f.write_str("ipip"),
            Self::Gre(None) => f.write_str("gre"),
            Self::Gre(Some(key)) => write!(f, "gre:{key}"),
            Self::Pptp(call) => write!(f, "pptp:{call}"),
            Self::Erspan(version, 0) => write!(f, "erspan{version}"),
            Self::Erspan(version, session) => write!(f, "erspan{version}:{session}"),
            Self::Vxlan(network) => write!(f, "vxlan:{network}"),
            Self::Geneve(network) => write!(f, "geneve:{network}"),
            Self::Nsh(path) => write!(f, "nsh:{path}"),
            Self::Gtp(endpoint) => write!(f, "gtp:{endpoint}"),
            Self::Teredo => f.write_str("teredo"),
            Self::L2tp(tunnel, session) => write!(f, "l2tp:{tunnel}/{session}"),
            Self::EtherIp => f.write_str("etherip"),
            Self::Ah => f.write_str("ah"),
        }
    }
}

/// Layers of one packet, outermost first. Bounded, so that a packet cannot nest without end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layers {
    count: u8,
    list: [Layer; Self::MOST],
}

impl Layers {
    /// Layers one packet may have.
    pub(crate) const MOST: usize = 12;
    pub(crate) const NONE: Self = Self { count: 0, list: [Layer::Ipip; Self::MOST] };

    #[inline(always)]
    pub(crate) fn clear(&mut self) {
        self.count = 0;
    }

    /// Says whether there was room.
    pub(crate) fn push(&mut self, layer: Layer) -> bool {
        let Some(place) = self.list.get_mut(usize::from(self.count)) else { return false };
        *place = layer;
        self.count += 1;
        true
    }

    /// Back to the first `count`.
    pub(crate) fn truncate(&mut self, count: u8) {
        self.count = self.count.min(count);
    }

    #[inline(always)]
    pub(crate) fn count(&self) -> u8 {
        self.count
    }

    pub(crate) fn as_slice(&self) -> &[Layer] {
        self.list.get(..usize::from(self.count)).unwrap_or_default()
    }
}
