//! DNS over UDP and TCP ([RFC 1035](https://www.rfc-editor.org/rfc/rfc1035), EDNS of RFC 6891), and its relatives on the local
//! link: multicast DNS (RFC 6762, protocol `mdns`) and LLMNR (RFC 4795, `llmnr`).
//!
//! | field | value |
//! |---|---|
//! | `request_type` | type of the question: the names of the common ones, a number otherwise |
//! | `domain`, `resource`, `endpoint` | name asked for, without the last dot |
//! | `request_id` | transaction id |
//! | `status_code` | RCODE, with the bits that EDNS adds |
//! | matched by | id, name and type |
//!
//! A question that is sent again is the same call (`retries`). Attributes: `dns.answers` (addresses and names of the answer, at most
//! 16), `dns.opcode` where it is not a standard query. A zone transfer is one call, up to its last message.
//!
//! Recognised by a header and a question that hold together to the last byte; the port only tells the relatives apart.
//! Not read: DNS over HTTPS, TLS and QUIC, NetBIOS names.

mod parser;
pub mod wire;

use alloc::boxed::Box;

use crate::{Options, Parser, Probe, Protocol, ProtocolSpec, Transport, Verdict};
use wire::Fit;

const MDNS_PORT: u16 = 5353;
const LLMNR_PORT: u16 = 5355;
const DNS_PORT: u16 = 53;
const NETBIOS_PORT: u16 = 137;

/// Recognises and reads DNS.
#[derive(Clone, Copy, Debug)]
pub struct Dns;

impl ProtocolSpec for Dns {
    fn protocol(&self) -> Protocol {
        Protocol::DNS
    }

    fn infer(&self, probe: &Probe<'_>) -> Verdict {
        infer(probe, |port| !matches!(port, Some(MDNS_PORT | LLMNR_PORT)))
    }

    fn parser(&self, _options: &Options) -> Box<dyn Parser> {
        Box::new(parser::DnsParser::default())
    }
}

/// Recognises and reads multicast DNS.
#[derive(Clone, Copy, Debug)]
pub struct Mdns;

impl ProtocolSpec for Mdns {
    fn protocol(&self) -> Protocol {
        Protocol::MDNS
    }

    fn infer(&self, probe: &Probe<'_>) -> Verdict {
        infer(probe, |port| port == Some(MDNS_PORT))
    }

    fn parser(&self, _options: &Options) -> Box<dyn Parser> {
        Box::new(parser::DnsParser::default())
    }
}

/// Recognises and reads link-local multicast name resolution.
#[derive(Clone, Copy, Debug)]
pub struct Llmnr;

impl ProtocolSpec for Llmnr {
    fn protocol(&self) -> Protocol {
        Protocol::LLMNR
    }

    fn infer(&self, probe: &Probe<'_>) -> Verdict {
        infer(probe, |port| port == Some(LLMNR_PORT))
    }

    fn parser(&self, _options: &Options) -> Box<dyn Parser> {
        Box::new(parser::DnsParser::default())
    }
}

fn infer(probe: &Probe<'_>, port_fits: impl FnOnce(Option<u16>) -> bool) -> Verdict {
    if !port_fits(probe.server_port) || probe.server_port == Some(NETBIOS_PORT) || probe.transport == Transport::Unix {
        return Verdict::No;
    }
    let usual_port = matches!(probe.server_port, Some(DNS_PORT | MDNS_PORT | LLMNR_PORT));
    let mut answer = Verdict::No;
    for side in [probe.first, probe.first.other()] {
        let bytes = probe.of(side);
        let fit = match (bytes, probe.transport) {
            ([], _) => continue,
            (_, Transport::Udp) => wire::recognise(bytes, usual_port),
            ([high, low, message @ ..], _) => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                match message.get(..length) {
                    Some(message) => wire::recognise(message, usual_port),
                    None => wire::recognise_beginning(message, length),
                }
            }
            _ => Fit::Perhaps,
        };
        match fit {
            Fit::Query => return probe.yes(side),
            Fit::Response => return probe.yes(side.other()),
            Fit::Perhaps => answer = Verdict::Unsure,
            Fit::No => {}
        }
    }
    answer
}
