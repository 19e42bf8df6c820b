//! The fields of the messages
//! ([definitions](https://github.com/apache/kafka/tree/trunk/clients/src/main/resources/common/message)), as far as they are read.

use super::shape::*;

const REPLICAS: Field = values(&[INT32]);

/// Responses that begin with their only error.
pub(super) const FAILED: Shape = &[ERROR, REST];
/// The same behind the time of throttling.
pub(super) const THROTTLED: Shape = &[INT32, ERROR, REST];
pub(super) const EXPLAINED: Shape = &[INT32, ERROR, MESSAGE, REST];
/// Messages that say nothing of what is looked for.
pub(super) const SKIPPED: Shape = &[REST];
/// Messages whose form is not known here.
pub(super) const EMPTY: Shape = &[];
/// Requests that begin with a group.
pub(super) const OF_GROUP: Shape = &[GROUP, REST];
/// Topics with numbers of partitions.
const TOPICS: Field = structs(&[TOPIC, REPLICAS]);

pub(super) const PRODUCE: Shape = &[
    TRANSACTIONAL_ID.from(3),
    ACKS,
    INT32,
    structs(&[TOPIC.to(12), TOPIC_ID.from(13), structs(&[PARTITION, RECORDS])]),
];
pub(super) const PRODUCED: Shape = &[
    structs(&[
        TOPIC.to(12),
        TOPIC_ID.from(13),
        structs(&[
            PARTITION,
            ERROR,
            OFFSET,
            INT64.from(2),
            INT64.from(5),
            structs(&[INT32, STRING]).from(8),
            MESSAGE.from(8),
        ]),
    ]),
    INT32.from(1),
];

pub(super) const FETCH: Shape = &[
    INT32.to(14),
    INT32,
    INT32,
    INT32.from(3),
    INT8.from(4),
    INT32.from(7),
    INT32.from(7),
    structs(&[
        TOPIC.to(12),
        TOPIC_ID.from(13),
        structs(&[PARTITION, INT32.from(9), OFFSET, INT32.from(12), INT64.from(5), INT32]),
    ]),
    structs(&[STRING.to(12), UUID.from(13), REPLICAS]).from(7),
    STRING.from(11),
];
pub(super) const FETCHED: Shape = &[
    INT32.from(1),
    ERROR.from(7),
    INT32.from(7),
    structs(&[
        TOPIC.to(12),
        TOPIC_ID.from(13),
        structs(&[
            PARTITION,
            ERROR,
            INT64,
            INT64.from(4),
            INT64.from(5),
            structs(&[INT64, INT64]).from(4),
            INT32.from(11),
            RECORDS,
        ]),
    ]),
];

pub(super) const LIST_OFFSETS: Shape =
    &[INT32, INT8.from(2), structs(&[TOPIC, structs(&[PARTITION, INT32.from(4), INT64, INT32.to(0)])]), INT32.from(10)];
pub(super) const LISTED_OFFSETS: Shape = &[
    INT32.from(2),
    structs(&[
        TOPIC,
        structs(&[PARTITION, ERROR, values(&[INT64]).to(0), INT64.from(1), OFFSET.from(1), INT32.from(4)]),
    ]),
];

pub(super) const METADATA: Shape =
    &[structs(&[TOPIC_ID.from(10), TOPIC]), INT8.from(4), INT8.from(8).to(10), INT8.from(8)];
pub(super) const METADATA_OF: Shape = &[
    INT32.from(3),
    structs(&[INT32, STRING, INT32, STRING.from(1)]),
    STRING.from(2),
    INT32.from(1),
    structs(&[
        ERROR,
        TOPIC,
        TOPIC_ID.from(10),
        INT8.from(1),
        structs(&[ERROR, INT32, INT32, INT32.from(7), REPLICAS, REPLICAS, REPLICAS.from(5)]),
        INT32.from(8),
    ]),
    INT32.from(8).to(10),
    ERROR.from(13),
];
pub(super) const DESCRIBE_TOPIC_PARTITIONS: Shape = &[structs(&[TOPIC]), INT32, REST];
pub(super) const DESCRIBED_TOPIC_PARTITIONS: Shape = &[
    INT32,
    structs(&[
        ERROR,
        TOPIC,
        TOPIC_ID,
        INT8,
        structs(&[ERROR, INT32, INT32, INT32, REPLICAS, REPLICAS, REPLICAS, REPLICAS, REPLICAS]),
        INT32,
    ]),
    REST,
];

pub(super) const OFFSET_COMMIT: Shape = &[
    GROUP,
    INT32.from(1),
    STRING.from(1),
    STRING.from(7),
    INT64.from(2).to(4),
    structs(&[
        TOPIC.to(9),
        TOPIC_ID.from(10),
        structs(&[PARTITION, OFFSET, INT32.from(6), INT64.from(1).to(1), STRING]),
    ]),
];
pub(super) const OFFSET_COMMITTED: Shape =
    &[INT32.from(3), structs(&[TOPIC.to(9), TOPIC_ID.from(10), structs(&[PARTITION, ERROR])])];

pub(super) const OFFSET_FETCH: Shape = &[
    GROUP.to(7),
    TOPICS.to(7),
    structs(&[GROUP, STRING.from(9), INT32.from(9), structs(&[TOPIC.to(9), TOPIC_ID.from(10), REPLICAS])]).from(8),
    INT8.from(7),
];
const COMMITTED: Field = structs(&[PARTITION, OFFSET, INT32.from(5), STRING, ERROR]);
pub(super) const OFFSETS_FETCHED: Shape = &[
    INT32.from(3),
    structs(&[TOPIC, COMMITTED]).to(7),
    ERROR.from(2).to(7),
    structs(&[STRING, structs(&[TOPIC.to(9), TOPIC_ID.from(10), COMMITTED]), ERROR]).from(8),
];

pub(super) const FIND_COORDINATOR: Shape =
    &[COORDINATOR_KEY.to(3), KEY_TYPE.from(1), values(&[COORDINATOR_KEY]).from(4)];
pub(super) const COORDINATOR: Shape = &[
    INT32.from(1),
    ERROR.to(3),
    MESSAGE.from(1).to(3),
    INT32.to(3),
    STRING.to(3),
    INT32.to(3),
    structs(&[STRING, INT32, STRING, INT32, ERROR, MESSAGE]).from(4),
];

pub(super) const JOIN_GROUP: Shape =
    &[GROUP, INT32, INT32.from(1), STRING, STRING.from(5), STRING, structs(&[STRING, BYTES]), STRING.from(8)];
pub(super) const JOINED_GROUP: Shape = &[
    INT32.from(2),
    ERROR,
    INT32,
    STRING.from(7),
    STRING,
    STRING,
    INT8.from(9),
    STRING,
    structs(&[STRING, STRING.from(5), BYTES]),
];
pub(super) const HEARTBEAT: Shape = &[GROUP, INT32, STRING, STRING.from(3)];
/// Throttled from version 1 on.
pub(super) const ERROR_ONLY: Shape = &[INT32.from(1), ERROR];
pub(super) const LEAVE_GROUP: Shape = &[GROUP, STRING.to(2), structs(&[STRING, STRING, STRING.from(5)]).from(3)];
pub(super) const LEFT_GROUP: Shape = &[INT32.from(1), ERROR, structs(&[STRING, STRING, ERROR]).from(3)];
pub(super) const SYNC_GROUP: Shape =
    &[GROUP, INT32, STRING, STRING.from(3), STRING.from(5), STRING.from(5), structs(&[STRING, BYTES])];
pub(super) const SYNCED_GROUP: Shape = &[INT32.from(1), ERROR, STRING.from(5), STRING.from(5), BYTES];
pub(super) const DESCRIBE_GROUPS: Shape = &[values(&[GROUP]), INT8.from(3)];
pub(super) const DESCRIBED_GROUPS: Shape = &[
    INT32.from(1),
    structs(&[
        ERROR,
        MESSAGE.from(6),
        STRING,
        STRING,
        STRING,
        STRING,
        structs(&[STRING, STRING.from(4), STRING, STRING, BYTES, BYTES]),
        INT32.from(3),
    ]),
];
pub(super) const LIST_GROUPS: Shape = &[values(&[STRING]).from(4), values(&[STRING]).from(5)];
pub(super) const LISTED_GROUPS: Shape =
    &[INT32.from(1), ERROR, structs(&[STRING, STRING, STRING.from(4), STRING.from(5)])];
pub(super) const DELETE_GROUPS: Shape = &[values(&[GROUP])];
pub(super) const DELETED_GROUPS: Shape = &[INT32, structs(&[STRING, ERROR])];
pub(super) const OFFSET_DELETE: Shape = &[GROUP, structs(&[TOPIC, structs(&[INT32])])];
pub(super) const OFFSETS_DELETED: Shape = &[ERROR, INT32, structs(&[STRING, structs(&[INT32, ERROR])])];

pub(super) const CONSUMER_GROUP_HEARTBEAT: Shape = &[
    GROUP,
    STRING,
    INT32,
    STRING,
    STRING,
    INT32,
    values(&[TOPIC]),
    STRING.from(1),
    STRING,
    structs(&[UUID, REPLICAS]),
];
const ASSIGNMENT: Field = structure(&[structs(&[UUID, STRING, REPLICAS])]);
pub(super) const CONSUMER_GROUPS: Shape = &[
    INT32,
    structs(&[
        ERROR,
        MESSAGE,
        STRING,
        STRING,
        INT32,
        INT32,
        STRING,
        structs(&[
            STRING,
            STRING,
            STRING,
            INT32,
            STRING,
            STRING,
            values(&[STRING]),
            STRING,
            ASSIGNMENT,
            ASSIGNMENT,
            INT8.from(1),
        ]),
        INT32,
    ]),
];
pub(super) const SHARE_GROUP_HEARTBEAT: Shape = &[GROUP, STRING, INT32, STRING, values(&[TOPIC])];
pub(super) const SHARE_FETCH: Shape = &[
    GROUP,
    STRING,
    INT32,
    INT32,
    INT32,
    INT32,
    INT32.from(1),
    INT32.from(1),
    structs(&[TOPIC_ID, structs(&[PARTITION, INT32.to(0), structs(&[INT64, INT64, values(&[INT8])])])]),
    REST,
];
pub(super) const SHARE_FETCHED: Shape = &[
    INT32,
    ERROR,
    MESSAGE,
    INT32.from(1),
    structs(&[
        TOPIC_ID,
        structs(&[
            PARTITION,
            ERROR,
            MESSAGE,
            ERROR,
            MESSAGE,
            structure(&[INT32, INT32]),
            RECORDS,
            structs(&[INT64, INT64, INT16]),
        ]),
    ]),
    REST,
];

pub(super) const API_VERSIONS: Shape = &[SOFTWARE_NAME.from(3), SOFTWARE_VERSION.from(3)];
pub(super) const API_VERSIONS_OF: Shape = &[ERROR, structs(&[API_KEY, INT16, INT16]), INT32.from(1)];
pub(super) const SASL_HANDSHAKE: Shape = &[MECHANISM];
pub(super) const SASL_MECHANISMS: Shape = &[ERROR, values(&[STRING])];
pub(super) const SASL_AUTHENTICATE: Shape = &[BYTES];
pub(super) const SASL_AUTHENTICATED: Shape = &[ERROR, MESSAGE, BYTES, INT64.from(1)];

const CONFIGS: Field = structs(&[STRING, STRING]);
pub(super) const CREATE_TOPICS: Shape =
    &[structs(&[TOPIC, INT32, INT16, structs(&[INT32, REPLICAS]), CONFIGS]), INT32, INT8.from(1)];
pub(super) const CREATED_TOPICS: Shape = &[
    INT32.from(2),
    structs(&[
        TOPIC,
        TOPIC_ID.from(7),
        ERROR,
        MESSAGE.from(1),
        INT32.from(5),
        INT16.from(5),
        structs(&[STRING, STRING, INT8, INT8, INT8]).from(5),
    ]),
];
pub(super) const DELETE_TOPICS: Shape = &[structs(&[TOPIC, TOPIC_ID]).from(6), values(&[TOPIC]).to(5), INT32];
pub(super) const DELETED_TOPICS: Shape = &[INT32.from(1), structs(&[TOPIC, TOPIC_ID.from(6), ERROR, MESSAGE.from(5)])];
pub(super) const DELETE_RECORDS: Shape = &[structs(&[TOPIC, structs(&[PARTITION, OFFSET])]), INT32];
pub(super) const DELETED_RECORDS: Shape = &[INT32, structs(&[TOPIC, structs(&[PARTITION, INT64, ERROR])])];
pub(super) const CREATE_PARTITIONS: Shape = &[structs(&[TOPIC, INT32, structs(&[REPLICAS])]), INT32, INT8];
pub(super) const CREATED_PARTITIONS: Shape = &[INT32, structs(&[TOPIC, ERROR, MESSAGE])];
pub(super) const ELECT_LEADERS: Shape = &[INT8.from(1), TOPICS, INT32];
pub(super) const ELECTED_LEADERS: Shape = &[INT32, ERROR.from(1), structs(&[TOPIC, structs(&[INT32, ERROR, MESSAGE])])];
pub(super) const EPOCHS: Shape = &[INT32.from(3), structs(&[TOPIC, structs(&[PARTITION, INT32.from(2), INT32])])];
pub(super) const EPOCHS_OF: Shape =
    &[INT32.from(2), structs(&[TOPIC, structs(&[ERROR, PARTITION, INT32.from(1), INT64])])];
pub(super) const DESCRIBE_PRODUCERS: Shape = &[TOPICS];
pub(super) const DESCRIBED_PRODUCERS: Shape = &[
    INT32,
    structs(&[TOPIC, structs(&[INT32, ERROR, MESSAGE, structs(&[INT64, INT32, INT32, INT64, INT32, INT64])])]),
];

pub(super) const INIT_PRODUCER_ID: Shape =
    &[TRANSACTIONAL_ID, INT32, INT64.from(3), INT16.from(3), INT8.from(6), INT8.from(6)];
pub(super) const PRODUCER_ID: Shape = &[INT32, ERROR, INT64, INT16, INT64.from(6), INT16.from(6)];
pub(super) const ADD_PARTITIONS: Shape = &[
    structs(&[TRANSACTIONAL_ID, INT64, INT16, INT8, TOPICS]).from(4),
    TRANSACTIONAL_ID.to(3),
    INT64.to(3),
    INT16.to(3),
    TOPICS.to(3),
];
const PARTITION_ERRORS: Field = structs(&[INT32, ERROR]);
pub(super) const ADDED_PARTITIONS: Shape = &[
    INT32,
    ERROR.from(4),
    structs(&[STRING, structs(&[TOPIC, PARTITION_ERRORS])]).from(4),
    structs(&[TOPIC, PARTITION_ERRORS]).to(3),
];
pub(super) const ADD_OFFSETS: Shape = &[TRANSACTIONAL_ID, INT64, INT16, GROUP];
pub(super) const END_TRANSACTION: Shape = &[TRANSACTIONAL_ID, INT64, INT16, INT8];
pub(super) const COMMIT_IN_TRANSACTION: Shape = &[
    TRANSACTIONAL_ID,
    GROUP,
    INT64,
    INT16,
    INT32.from(3),
    STRING.from(3),
    STRING.from(3),
    structs(&[TOPIC, structs(&[PARTITION, OFFSET, INT32.from(2), STRING])]),
];
pub(super) const COMMITTED_IN_TRANSACTION: Shape = &[INT32, structs(&[TOPIC, PARTITION_ERRORS])];
pub(super) const MARKERS: Shape = &[structs(&[INT64, INT16, INT8, TOPICS, INT32, INT8.from(2)])];
pub(super) const MARKED: Shape = &[structs(&[INT64, structs(&[TOPIC, PARTITION_ERRORS])])];

pub(super) const DESCRIBED_CONFIGS: Shape = &[
    INT32,
    structs(&[
        ERROR,
        MESSAGE,
        INT8,
        STRING,
        structs(&[
            STRING,
            STRING,
            INT8,
            INT8,
            INT8,
            structs(&[STRING, STRING, INT8]).from(1),
            INT8.from(3),
            STRING.from(3),
        ]),
    ]),
];
pub(super) const ALTERED_CONFIGS: Shape = &[INT32, structs(&[ERROR, MESSAGE, INT8, STRING])];
pub(super) const ALTERED_ACLS: Shape = &[INT32, structs(&[ERROR, MESSAGE])];
pub(super) const DELETED_ACLS: Shape = &[
    INT32,
    structs(&[ERROR, MESSAGE, structs(&[ERROR, MESSAGE, INT8, STRING, INT8.from(1), STRING, STRING, INT8, INT8])]),
];
pub(super) const LOG_DIRS: Shape = &[
    INT32,
    ERROR.from(3),
    structs(&[
        ERROR,
        STRING,
        structs(&[STRING, structs(&[INT32, INT64, INT64, INT8])]),
        INT64.from(4),
        INT64.from(4),
        INT8.from(5),
    ]),
];
pub(super) const REASSIGNED: Shape =
    &[INT32, INT8.from(1), ERROR, MESSAGE, structs(&[STRING, structs(&[INT32, ERROR, MESSAGE])])];
pub(super) const ALTERED_QUOTAS: Shape = &[INT32, structs(&[ERROR, MESSAGE, CONFIGS])];
pub(super) const SCRAM_CREDENTIALS: Shape =
    &[INT32, ERROR, MESSAGE, structs(&[STRING, ERROR, MESSAGE, structs(&[INT8, INT32])])];
pub(super) const ALTERED_SCRAM_CREDENTIALS: Shape = &[INT32, structs(&[STRING, ERROR, MESSAGE])];
pub(super) const TRANSACTIONS: Shape = &[INT32, structs(&[ERROR, STRING, STRING, INT32, INT64, INT64, INT16, TOPICS])];
pub(super) const ENVELOPE: Shape = &[BYTES, ERROR];
pub(super) const ALTER_LOG_DIRS: Shape = &[structs(&[STRING, TOPICS])];
pub(super) const DESCRIBE_LOG_DIRS: Shape = &[TOPICS];
pub(super) const REASSIGN: Shape = &[INT32, INT8.from(1), structs(&[TOPIC, structs(&[INT32, REPLICAS])])];
pub(super) const LIST_REASSIGNMENTS: Shape = &[INT32, TOPICS];
pub(super) const DESCRIBE_QUORUM: Shape = &[structs(&[TOPIC, structs(&[INT32])])];
const VOTERS: Field = structs(&[INT32, UUID.from(2), INT64, INT64.from(1), INT64.from(1)]);
pub(super) const QUORUM: Shape = &[
    ERROR,
    MESSAGE.from(2),
    structs(&[STRING, structs(&[INT32, ERROR, MESSAGE.from(2), INT32, INT32, INT64, VOTERS, VOTERS])]),
    REST,
];
pub(super) const UPDATED_FEATURES: Shape = &[INT32, ERROR, MESSAGE, structs(&[STRING, ERROR, MESSAGE]).to(1)];

#[cfg(test)]
mod tests {
    use super::super::api::Api;
    use super::super::detect::Evidence;
    use super::super::walk::{Stop, Walk};
    use super::super::wire::{RequestHeader, ResponseHeader};
    use super::*;
    use alloc::vec::Vec;

    fn bytes(hex: &str) -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hexadecimal");
        (0..hex.len() / 2).map(digit).collect()
    }

    #[test]
    fn every_version_is_read_to_its_last_byte() {
        let golden = include_str!("../../testdata/kafka/versions.golden");
        for line in golden.lines().filter(|line| !line.starts_with('#')) {
            let mut messages = line.rsplit(' ').take(2).map(bytes);
            let (response, request) = (messages.next().expect("a response"), messages.next().expect("a request"));
            let header = RequestHeader::parse(&request).expect("a request");
            let (api, version) = (Api::of(header.key).expect("known"), header.version);
            let tags = usize::from(api.has_tags_in_response(version));
            for (shape, message, start) in [
                (api.request(version), request.as_slice(), header.length),
                (api.response(version), &response, ResponseHeader::LENGTH + tags),
            ] {
                let fields = &message[start..];
                let mut walk =
                    Walk::new(shape, version as u8, api.is_flexible(version), fields.len() as u64).strictly();
                let (_, stop) = walk.advance(fields, &mut Evidence::default());
                let whole = walk.left() == 0 || matches!(shape.last(), Some(Field { what: What::Rest, .. }));
                assert!(stop == Stop::End && whole, "{} version {version}: {stop:?}, {} left", api.name, walk.left());
            }
        }
    }
}
