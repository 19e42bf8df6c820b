//! What it costs to tell which protocol the first payload of a connection belongs to.

use std::hint::black_box;

use anyhow::{Result, ensure};
use protocol_parsers::dns::{Dns, Llmnr, Mdns};
use protocol_parsers::dubbo::Dubbo;
use protocol_parsers::http1::Http1;
use protocol_parsers::http2::Http2;
use protocol_parsers::kafka::Kafka;
use protocol_parsers::mysql::MySql;
use protocol_parsers::postgresql::PostgreSql;
use protocol_parsers::redis::Redis;
use protocol_parsers::{Probe, ProtocolSpec, Side, Verdict};

use crate::conversation::Conversation;
use crate::{Report, cpu_time};

/// Every protocol that is told by its bytes, in the order in which a dissector asks them.
const SPECS: [&dyn ProtocolSpec; 10] =
    [&Http1, &Http2, &Redis, &PostgreSql, &MySql, &Dubbo, &Dns, &Mdns, &Llmnr, &Kafka];

/// The folder of conversations in other protocols.
const OTHER: &str = "other";

/// What is sent first in one of the parsers' test conversations.
#[derive(Debug)]
pub struct Payload {
    /// The protocol, or `none` where no parser knows it.
    pub protocol: &'static str,
    conversation: Conversation,
}

impl Payload {
    fn new(conversation: Conversation) -> Option<Self> {
        let mut payload = Self { protocol: "none", conversation };
        match payload.ask() {
            Some(spec) => payload.protocol = spec.protocol().name(),
            // Of the others, some are there to need more than one payload.
            None if payload.conversation.folder() != OTHER => return None,
            None => {}
        }
        Some(payload)
    }

    /// Asks every protocol; the first that is sure decides.
    fn ask(&self) -> Option<&'static dyn ProtocolSpec> {
        let (opening, piece) = (self.conversation.opening, self.conversation.pieces.first()?);
        let (client, server): (&[u8], &[u8]) =
            if piece.side == Side::Client { (&piece.bytes, &[]) } else { (&[], &piece.bytes) };
        let probe = Probe {
            client,
            server,
            first: piece.side,
            transport: opening.transport,
            from_start: opening.from_start,
            sides_known: opening.sides_known,
            server_port: opening.server_port,
        };
        SPECS.into_iter().find(|spec| matches!(spec.infer(black_box(&probe)), Verdict::Yes { .. }))
    }
}

/// The first payloads that tell their protocol at once, and those of no known protocol.
#[must_use]
pub fn payloads() -> Vec<Payload> {
    Conversation::all().into_iter().filter_map(Payload::new).collect()
}

/// Asks about all of them.
pub fn ask(payloads: &[Payload]) {
    for payload in payloads {
        black_box(payload.ask().is_some());
    }
}

/// Adds the figures: a payload of any protocol, of each, and of none.
///
/// # Errors
/// When a protocol is not told.
pub(crate) fn run(report: &mut Report, rounds: usize, times: u32) -> Result<()> {
    let mut payloads = payloads();
    payloads.sort_by_key(|payload| payload.protocol);
    let mut all = (0.0, 0);
    let groups: Vec<&[Payload]> = payloads.chunk_by(|one, next| one.protocol == next.protocol).collect();
    ensure!(groups.len() == SPECS.len() + 1, "{} kinds of payloads", groups.len());
    for group in groups {
        let turns = times as usize / group.len() + 1;
        let least = (0..rounds).map(|_| {
            let begin = cpu_time();
            (0..turns).for_each(|_| ask(group));
            cpu_time() - begin
        });
        let ns = least.min().unwrap_or_default().as_nanos() as f64 / (turns * group.len()) as f64;
        report.figure(format!("parsers.detect.{}_ns", group[0].protocol), ns, "ns");
        if group[0].protocol != "none" {
            all = (all.0 + ns * group.len() as f64, all.1 + group.len());
        }
    }
    report.figure("parsers.detect.ns", all.0 / f64::from(all.1 as u32), "ns");
    Ok(())
}
