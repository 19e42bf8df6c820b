//! Dubbo 2 ([protocol specification](https://dubbo.apache.org/en/overview/reference/protocols/tcp/)).
//!
//! | field | value |
//! |---|---|
//! | `request_type` | method |
//! | `resource` | service |
//! | `endpoint` | service/method |
//! | `request_id` | the request's id, decimal |
//! | `status_code` | the status byte |
//! | `exception` | text of an answer that is not OK; class and message of what the method threw |
//! | matched by | request id |
//!
//! An answer that is OK but carries an exception is a `server_error`: the method was not able to do as asked. Requests that want no
//! answer are `one_way`. Events (heartbeats, and the server's wish for no more requests) are no calls. Either side may ask.
//!
//! Attributes: `rpc.dubbo.version` of the protocol; `rpc.dubbo.service_version` where a service has one; `rpc.dubbo.serialization`
//! unless it is Hessian 2; `rpc.dubbo.remote_application` where the caller says its name. Trace ids are taken from the attachments.
//!
//! | serialization | names | attachments | exceptions |
//! |---|---|---|---|
//! | Hessian 2 | yes | yes | class and message |
//! | fastjson, Gson | yes | yes | class and message |
//! | fastjson2 | yes | yes | class and message |
//! | Kryo | yes | yes behind arguments that are texts and numbers, else the usual trace ids | class, mostly message |
//! | others | no | no | no |
//!
//! Kryo writes objects without saying how long they are: behind an argument of a class that is not Kryo's own, attachments are searched
//! for by the names of the usual trace headers, and those with names of one's own are not found. The message of an exception is not told
//! where its class has a cause, or fields whose names come before `detailMessage`.
//!
//! Recognised by the 16 bytes of the header, of a request or of an answer. Not read: arguments and results.

mod body;
mod hessian;
mod json;
mod jsonb;
mod kryo;
mod parser;
pub mod wire;

use alloc::boxed::Box;

use crate::{Options, Parser, Probe, Protocol, ProtocolSpec, Side, Verdict};
use wire::Header;

/// Recognises and reads Dubbo 2.
#[derive(Clone, Copy, Debug)]
pub struct Dubbo;

impl ProtocolSpec for Dubbo {
    fn protocol(&self) -> Protocol {
        Protocol::DUBBO
    }

    fn infer(&self, probe: &Probe<'_>) -> Verdict {
        probe.each_side(|side, bytes| match Header::parse(bytes) {
            // The side that was opened to may ask as well, so what is known of the sides goes before who asks.
            Some(_) if probe.sides_known => Verdict::Yes { client: Side::Client },
            Some(header) if header.is_request() => Verdict::Yes { client: side },
            Some(_) => Verdict::Yes { client: side.other() },
            None if !bytes.is_empty() && wire::may_become_header(bytes) => Verdict::Unsure,
            None => Verdict::No,
        })
    }

    fn parser(&self, _options: &Options) -> Box<dyn Parser> {
        Box::new(parser::DubboParser)
    }
}
