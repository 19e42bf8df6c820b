//! The one list of protocols.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::hash::{Hash, Hasher};

use crate::ProtocolSpec;

/// An application protocol: a number that is never given out twice, and the name used in records.
///
/// Plug-ins bring values of their own, so this is no enum.
#[derive(Clone, Copy)]
pub struct Protocol(&'static Entry);

#[derive(Debug)]
struct Entry {
    number: u16,
    name: &'static str,
}

impl Protocol {
    /// The name used in records, such as `http1`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0.name
    }

    /// The number of the protocol, stable for ever. Numbers from 1,000 on belong to plug-ins.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0.number
    }
}

impl PartialEq for Protocol {
    fn eq(&self, other: &Self) -> bool {
        self.0.number == other.0.number
    }
}

impl Eq for Protocol {}

impl Hash for Protocol {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.number.hash(state);
    }
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.name)
    }
}

/// No protocol has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no protocol has this name")]
pub struct UnknownProtocol;

impl core::str::FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(name: &str) -> Result<Self, UnknownProtocol> {
        Self::ALL.iter().copied().find(|protocol| protocol.name() == name).ok_or(UnknownProtocol)
    }
}

/// Number, constant, name, and the value that detects and reads it (none for a protocol that another one's reader reports).
macro_rules! protocols {
    ($($(#[$doc:meta])* $number:literal $constant:ident $name:literal $(=> $spec:expr)?;)*) => {
        impl Protocol {
            $($(#[$doc])* pub const $constant: Self = Self(&Entry { number: $number, name: $name });)*

            /// Every protocol this crate reads.
            pub const ALL: &'static [Self] = &[$(Self::$constant),*];
        }

        /// What detects and reads each protocol, in the order in which they are asked.
        pub(crate) fn built_in() -> Vec<Arc<dyn ProtocolSpec>> {
            alloc::vec![$($(Arc::new($spec) as Arc<dyn ProtocolSpec>,)?)*]
        }
    };
}

protocols! {
    /// HTTP/1.0 and HTTP/1.1 (RFC 9112).
    1 HTTP1 "http1" => crate::http1::Http1;
    /// HTTP/2 (RFC 9113).
    7 HTTP2 "http2" => crate::http2::Http2;
    /// gRPC.
    8 GRPC "grpc";
    /// Triple, the protocol of Apache Dubbo 3.
    9 TRIPLE "triple";
    /// Redis: RESP2 and RESP3.
    5 REDIS "redis" => crate::redis::Redis;
    /// PostgreSQL, protocol version 3.
    10 POSTGRESQL "postgresql" => crate::postgresql::PostgreSql;
    /// MySQL and MariaDB.
    6 MYSQL "mysql" => crate::mysql::MySql;
    /// Dubbo 2.
    12 DUBBO "dubbo" => crate::dubbo::Dubbo;
    /// DNS over UDP and TCP (RFC 1035).
    2 DNS "dns" => crate::dns::Dns;
    /// Multicast DNS (RFC 6762).
    3 MDNS "mdns" => crate::dns::Mdns;
    /// Link-local multicast name resolution (RFC 4795).
    4 LLMNR "llmnr" => crate::dns::Llmnr;
    /// Apache Kafka and its relatives.
    11 KAFKA "kafka" => crate::kafka::Kafka;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_unique_and_names_parse() {
        for (position, protocol) in Protocol::ALL.iter().enumerate() {
            assert_eq!(protocol.name().parse(), Ok(*protocol));
            for other in Protocol::ALL.iter().skip(position + 1) {
                assert_ne!(protocol.number(), other.number());
                assert_ne!(protocol.name(), other.name());
            }
        }
        assert_eq!("nonsense".parse::<Protocol>(), Err(UnknownProtocol));
    }
}
