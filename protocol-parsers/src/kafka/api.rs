//! Every API with its versions.

use super::messages::*;
use super::shape::{Field, Shape, What};

/// No version of an API is flexible.
const NEVER: u8 = u8::MAX;
/// Versions that may have been added since these tables were written.
const NEWER: u16 = 8;
const PRODUCE_KEY: u16 = 0;
const FETCH_KEY: u16 = 1;
const CONTROLLED_SHUTDOWN_KEY: u16 = 7;
const API_VERSIONS_KEY: u16 = 18;

/// What is known of an API.
#[derive(Clone, Copy, Debug)]
pub struct Api {
    /// Its name.
    pub name: &'static str,
    /// From this version on it has strings and arrays with short lengths, and tagged fields (KIP-482).
    flexible: u8,
    /// The last version that is known.
    latest: u8,
    request: Shape,
    response: Shape,
}

impl Api {
    /// The API with this number.
    #[must_use]
    pub fn of(key: u16) -> Option<&'static Self> {
        APIS.get(usize::from(key))
    }

    /// Whether a version is flexible.
    #[must_use]
    pub const fn is_flexible(&self, version: u16) -> bool {
        version >= self.flexible as u16 && self.flexible != NEVER
    }

    /// Whether there may be such a version.
    #[must_use]
    pub const fn is_believable(&self, version: u16) -> bool {
        version <= self.latest as u16 + NEWER
    }

    /// What is read of a request of this version.
    pub(super) const fn request(&self, version: u16) -> Shape {
        if version <= self.latest as u16 { self.request } else { EMPTY }
    }

    /// Whether requests of this version are known to their last byte.
    pub(super) fn is_whole(&self, version: u16) -> bool {
        version <= u16::from(self.latest) && !matches!(self.request.last(), Some(Field { what: What::Rest, .. }))
    }

    /// What is read of a response of this version. A broker answers an ApiVersions that is too new for it in version 0.
    pub(super) fn response(&self, version: u16) -> Shape {
        match version <= u16::from(self.latest) {
            true => self.response,
            false if self.is(API_VERSIONS_KEY) => FAILED,
            false => EMPTY,
        }
    }

    /// Whether a request of this version has a header without client id.
    #[must_use]
    pub fn has_short_header(&self, version: u16) -> bool {
        version == 0 && self.is(CONTROLLED_SHUTDOWN_KEY)
    }

    /// Whether a response of this version has tagged fields in its header. Not ApiVersions: whoever asks does not know yet what the
    /// broker can read (KIP-511).
    #[must_use]
    pub fn has_tags_in_response(&self, version: u16) -> bool {
        self.is_flexible(version) && !self.is(API_VERSIONS_KEY)
    }

    /// Whether it is the only one that may ask for no answer.
    pub(super) fn is_produce(&self) -> bool {
        self.is(PRODUCE_KEY)
    }

    pub(super) fn is_fetch(&self) -> bool {
        self.is(FETCH_KEY)
    }

    fn is(&self, key: u16) -> bool {
        APIS.get(usize::from(key)).is_some_and(|api| core::ptr::eq(api, self))
    }

    const fn new(name: &'static str, flexible: u8, latest: u8, request: Shape, response: Shape) -> Self {
        Self { name, flexible, latest, request, response }
    }
}

/// By number: name, first flexible and last known version, what is read of request and response.
static APIS: [Api; 93] = [
    Api::new("Produce", 9, 13, PRODUCE, PRODUCED),
    Api::new("Fetch", 12, 18, FETCH, FETCHED),
    Api::new("ListOffsets", 6, 11, LIST_OFFSETS, LISTED_OFFSETS),
    Api::new("Metadata", 9, 13, METADATA, METADATA_OF),
    Api::new("LeaderAndIsr", 4, 7, SKIPPED, FAILED),
    Api::new("StopReplica", 2, 4, SKIPPED, FAILED),
    Api::new("UpdateMetadata", 6, 8, SKIPPED, FAILED),
    Api::new("ControlledShutdown", 3, 3, SKIPPED, FAILED),
    Api::new("OffsetCommit", 8, 10, OFFSET_COMMIT, OFFSET_COMMITTED),
    Api::new("OffsetFetch", 6, 10, OFFSET_FETCH, OFFSETS_FETCHED),
    Api::new("FindCoordinator", 3, 6, FIND_COORDINATOR, COORDINATOR),
    Api::new("JoinGroup", 6, 9, JOIN_GROUP, JOINED_GROUP),
    Api::new("Heartbeat", 4, 4, HEARTBEAT, ERROR_ONLY),
    Api::new("LeaveGroup", 4, 5, LEAVE_GROUP, LEFT_GROUP),
    Api::new("SyncGroup", 4, 5, SYNC_GROUP, SYNCED_GROUP),
    Api::new("DescribeGroups", 5, 6, DESCRIBE_GROUPS, DESCRIBED_GROUPS),
    Api::new("ListGroups", 3, 5, LIST_GROUPS, LISTED_GROUPS),
    Api::new("SaslHandshake", NEVER, 1, SASL_HANDSHAKE, SASL_MECHANISMS),
    Api::new("ApiVersions", 3, 4, API_VERSIONS, API_VERSIONS_OF),
    Api::new("CreateTopics", 5, 7, CREATE_TOPICS, CREATED_TOPICS),
    Api::new("DeleteTopics", 4, 6, DELETE_TOPICS, DELETED_TOPICS),
    Api::new("DeleteRecords", 2, 2, DELETE_RECORDS, DELETED_RECORDS),
    Api::new("InitProducerId", 2, 6, INIT_PRODUCER_ID, PRODUCER_ID),
    Api::new("OffsetForLeaderEpoch", 4, 4, EPOCHS, EPOCHS_OF),
    Api::new("AddPartitionsToTxn", 3, 5, ADD_PARTITIONS, ADDED_PARTITIONS),
    Api::new("AddOffsetsToTxn", 3, 4, ADD_OFFSETS, THROTTLED),
    Api::new("EndTxn", 3, 5, END_TRANSACTION, THROTTLED),
    Api::new("WriteTxnMarkers", 1, 2, MARKERS, MARKED),
    Api::new("TxnOffsetCommit", 3, 5, COMMIT_IN_TRANSACTION, COMMITTED_IN_TRANSACTION),
    Api::new("DescribeAcls", 2, 3, SKIPPED, EXPLAINED),
    Api::new("CreateAcls", 2, 3, SKIPPED, ALTERED_ACLS),
    Api::new("DeleteAcls", 2, 3, SKIPPED, DELETED_ACLS),
    Api::new("DescribeConfigs", 4, 4, SKIPPED, DESCRIBED_CONFIGS),
    Api::new("AlterConfigs", 2, 2, SKIPPED, ALTERED_CONFIGS),
    Api::new("AlterReplicaLogDirs", 2, 2, ALTER_LOG_DIRS, COMMITTED_IN_TRANSACTION),
    Api::new("DescribeLogDirs", 2, 5, DESCRIBE_LOG_DIRS, LOG_DIRS),
    Api::new("SaslAuthenticate", 2, 2, SASL_AUTHENTICATE, SASL_AUTHENTICATED),
    Api::new("CreatePartitions", 2, 3, CREATE_PARTITIONS, CREATED_PARTITIONS),
    Api::new("CreateDelegationToken", 2, 3, SKIPPED, FAILED),
    Api::new("RenewDelegationToken", 2, 2, SKIPPED, FAILED),
    Api::new("ExpireDelegationToken", 2, 2, SKIPPED, FAILED),
    Api::new("DescribeDelegationToken", 2, 3, SKIPPED, FAILED),
    Api::new("DeleteGroups", 2, 2, DELETE_GROUPS, DELETED_GROUPS),
    Api::new("ElectLeaders", 2, 2, ELECT_LEADERS, ELECTED_LEADERS),
    Api::new("IncrementalAlterConfigs", 1, 1, SKIPPED, ALTERED_CONFIGS),
    Api::new("AlterPartitionReassignments", 0, 1, REASSIGN, REASSIGNED),
    Api::new("ListPartitionReassignments", 0, 0, LIST_REASSIGNMENTS, EXPLAINED),
    Api::new("OffsetDelete", NEVER, 0, OFFSET_DELETE, OFFSETS_DELETED),
    Api::new("DescribeClientQuotas", 1, 1, SKIPPED, EXPLAINED),
    Api::new("AlterClientQuotas", 1, 1, SKIPPED, ALTERED_QUOTAS),
    Api::new("DescribeUserScramCredentials", 0, 0, SKIPPED, SCRAM_CREDENTIALS),
    Api::new("AlterUserScramCredentials", 0, 0, SKIPPED, ALTERED_SCRAM_CREDENTIALS),
    Api::new("Vote", 0, 2, SKIPPED, FAILED),
    Api::new("BeginQuorumEpoch", 1, 1, SKIPPED, FAILED),
    Api::new("EndQuorumEpoch", 1, 1, SKIPPED, FAILED),
    Api::new("DescribeQuorum", 0, 2, DESCRIBE_QUORUM, QUORUM),
    Api::new("AlterPartition", 0, 3, SKIPPED, THROTTLED),
    Api::new("UpdateFeatures", 0, 2, SKIPPED, UPDATED_FEATURES),
    Api::new("Envelope", 0, 0, SKIPPED, ENVELOPE),
    Api::new("FetchSnapshot", 0, 1, SKIPPED, THROTTLED),
    Api::new("DescribeCluster", 0, 2, SKIPPED, EXPLAINED),
    Api::new("DescribeProducers", 0, 0, DESCRIBE_PRODUCERS, DESCRIBED_PRODUCERS),
    Api::new("BrokerRegistration", 0, 4, SKIPPED, THROTTLED),
    Api::new("BrokerHeartbeat", 0, 1, SKIPPED, THROTTLED),
    Api::new("UnregisterBroker", 0, 0, SKIPPED, EXPLAINED),
    Api::new("DescribeTransactions", 0, 0, SKIPPED, TRANSACTIONS),
    Api::new("ListTransactions", 0, 2, SKIPPED, THROTTLED),
    Api::new("AllocateProducerIds", 0, 0, SKIPPED, THROTTLED),
    Api::new("ConsumerGroupHeartbeat", 0, 1, CONSUMER_GROUP_HEARTBEAT, EXPLAINED),
    Api::new("ConsumerGroupDescribe", 0, 1, DESCRIBE_GROUPS, CONSUMER_GROUPS),
    Api::new("ControllerRegistration", 0, 0, SKIPPED, EXPLAINED),
    Api::new("GetTelemetrySubscriptions", 0, 0, SKIPPED, THROTTLED),
    Api::new("PushTelemetry", 0, 0, SKIPPED, THROTTLED),
    Api::new("AssignReplicasToDirs", 0, 0, SKIPPED, THROTTLED),
    Api::new("ListConfigResources", 0, 1, SKIPPED, THROTTLED),
    Api::new("DescribeTopicPartitions", 0, 0, DESCRIBE_TOPIC_PARTITIONS, DESCRIBED_TOPIC_PARTITIONS),
    Api::new("ShareGroupHeartbeat", 0, 1, SHARE_GROUP_HEARTBEAT, EXPLAINED),
    Api::new("ShareGroupDescribe", 0, 1, EMPTY, EMPTY),
    Api::new("ShareFetch", 0, 1, SHARE_FETCH, SHARE_FETCHED),
    Api::new("ShareAcknowledge", 0, 1, OF_GROUP, EXPLAINED),
    Api::new("AddRaftVoter", 0, 1, SKIPPED, EXPLAINED),
    Api::new("RemoveRaftVoter", 0, 0, SKIPPED, EXPLAINED),
    Api::new("UpdateRaftVoter", 0, 0, SKIPPED, THROTTLED),
    Api::new("InitializeShareGroupState", 0, 0, EMPTY, EMPTY),
    Api::new("ReadShareGroupState", 0, 0, EMPTY, EMPTY),
    Api::new("WriteShareGroupState", 0, 1, EMPTY, EMPTY),
    Api::new("DeleteShareGroupState", 0, 0, EMPTY, EMPTY),
    Api::new("ReadShareGroupStateSummary", 0, 1, EMPTY, EMPTY),
    Api::new("StreamsGroupHeartbeat", 0, 0, OF_GROUP, EXPLAINED),
    Api::new("StreamsGroupDescribe", 0, 0, EMPTY, EMPTY),
    Api::new("DescribeShareGroupOffsets", 0, 1, EMPTY, EMPTY),
    Api::new("AlterShareGroupOffsets", 0, 0, OF_GROUP, EXPLAINED),
    Api::new("DeleteShareGroupOffsets", 0, 0, OF_GROUP, EXPLAINED),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_name() {
        for (key, name) in [
            (0, "Produce"),
            (18, "ApiVersions"),
            (36, "SaslAuthenticate"),
            (47, "OffsetDelete"),
            (68, "ConsumerGroupHeartbeat"),
            (75, "DescribeTopicPartitions"),
            (92, "DeleteShareGroupOffsets"),
        ] {
            assert_eq!(Api::of(key).map(|api| api.name), Some(name));
        }
        assert!(Api::of(93).is_none());
    }

    #[test]
    fn flexible_versions_and_headers() {
        let api = |key| Api::of(key).expect("known");
        assert!(!api(0).is_flexible(8) && api(0).is_flexible(9));
        assert!(!api(17).is_flexible(1));
        assert!(api(18).is_flexible(3) && !api(18).has_tags_in_response(3) && api(3).has_tags_in_response(9));
        assert!(api(7).has_short_header(0) && !api(7).has_short_header(1) && !api(0).has_short_header(0));
    }
}
