//! A parser that gives up more requests than there are.

use std::sync::Arc;

use protocol_parsers::{
    Body, Connection, Dissector, Field, Input, Key, MessageWriter, Opening, Options, ParseError, Parser, Probe,
    Protocol, ProtocolSpec, Resync, Side, Step, StreamChunk, Timestamp, Verdict,
};

/// The client asks with every byte, and with every byte the server says that nothing will be answered.
struct Silent;

impl ProtocolSpec for Silent {
    fn protocol(&self) -> Protocol {
        Protocol::REDIS
    }

    fn infer(&self, _probe: &Probe<'_>) -> Verdict {
        Verdict::Yes { client: Side::Client }
    }

    fn parser(&self, _options: &Options) -> Box<dyn Parser> {
        Box::new(Self)
    }
}

impl Parser for Silent {
    fn parse(&mut self, from: Side, _input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError> {
        if from == Side::Server {
            message.field(Field::Exception, b"silence");
            return Ok(Step::Unanswered { key: Key::Order });
        }
        message.request(Key::Order);
        Ok(Step::Message { used: 1, body: Body::None })
    }

    fn gap(&mut self, _from: Side) {}

    fn resync(&mut self, _from: Side, _input: &[u8]) -> Resync {
        Resync::At(0)
    }

    fn memory(&self) -> usize {
        0
    }
}

#[test]
fn giving_up_more_requests_than_there_are_is_an_error() {
    let mut options = Options::default();
    options.protocols.push(Arc::new(Silent));
    let mut dissector = Dissector::new(options);
    let mut connection = Connection::new(Opening::TCP);
    for (side, bytes) in [(Side::Client, &b"abc"[..]), (Side::Server, b"x")] {
        dissector.push(&mut connection, StreamChunk { side, time: Timestamp::ZERO, offset: 0, bytes, missing: 0 });
    }
    let mut calls = 0;
    while let Some(call) = dissector.poll() {
        assert_eq!((call.kind().name(), call.status().name()), ("request_only", "unknown"));
        assert_eq!(call.exception(), Some("silence"));
        calls += 1;
    }
    assert_eq!((calls, dissector.stats().parse_errors), (3, 1));
}
