//! Users with passwords, and with profiles that would change what comes of a statement.

use futures::TryStreamExt;
use metaflow_storage_clickhouse::{Address, ClickHouse, Options};
use storage_api::{Predicate, ScanRequest, Storage, Timestamp};
use xtask::servers;

use crate::support::{SECOND, START, append, ask, id, name, numbers, open, plain, port, rows, run_alone, scan, values};

/// `odd` has a password of odd characters and a profile that cuts answers, delays inserts and forgets them.
const USERS: &str = "<clickhouse>
<profiles>
  <default/>
  <reader><readonly>1</readonly></reader>
  <odd>
    <limit>1</limit><offset>1</offset><extremes>1</extremes><max_ast_depth>20</max_ast_depth>
    <max_result_rows>1500</max_result_rows><result_overflow_mode>break</result_overflow_mode>
    <async_insert>1</async_insert><wait_for_async_insert>0</wait_for_async_insert><insert_deduplicate>0</insert_deduplicate>
    <transform_null_in>1</transform_null_in><min_insert_block_size_rows>10</min_insert_block_size_rows>
    <max_insert_block_size>10</max_insert_block_size><mutations_sync>0</mutations_sync>
    <lightweight_deletes_sync>0</lightweight_deletes_sync>
    <output_format_arrow_compression_method>lz4_frame</output_format_arrow_compression_method>
    <output_format_arrow_low_cardinality_as_dictionary>1</output_format_arrow_low_cardinality_as_dictionary>
  </odd>
</profiles>
<users>
  <default><password></password><profile>default</profile><networks><ip>::/0</ip></networks></default>
  <reader><password></password><profile>reader</profile><networks><ip>::/0</ip></networks></reader>
  <odd><password>p'w/é%@:</password><profile>odd</profile><networks><ip>::/0</ip></networks></odd>
</users>
</clickhouse>";

#[test]
fn a_password_is_asked_for_and_no_profile_changes_what_is_stored_or_answered() {
    if port().is_none() {
        return println!("skipped: there is no ClickHouse");
    }
    let server = servers::ClickHouse::with_users(USERS).unwrap();
    let address =
        |login: &str| -> Address { format!("clickhouse://{login}@127.0.0.1:{}/x", server.http).parse().unwrap() };
    run_alone(async {
        let error = ClickHouse::open(address("odd:wrong"), Options::default()).await.unwrap_err();
        assert!(!error.is_retryable() && error.to_string().contains("Authentication failed"), "{error}");
        let error = ClickHouse::open(address("reader"), Options::default()).await.unwrap_err();
        assert!(!error.is_retryable() && error.to_string().contains("readonly"), "{error}");

        let odd = address("odd:p%27w%2F%C3%A9%25%40%3A");
        let store = open(&odd, Options::default()).await;
        store.create_table(&plain()).await.unwrap();
        for _ in 0..2 {
            append(&store, id(1, 1), rows(SECOND, 0..1000)).await.unwrap();
        }
        // Another process, which remembers nothing, at the same moment as this one.
        let again = open(&odd, Options::default()).await;
        append(&again, id(1, 1), rows(SECOND, 0..1000)).await.unwrap();
        assert_eq!(values(&store).await, (0..1000).collect::<Vec<_>>());
        let parts = "SELECT count() FROM system.parts WHERE active AND table = 'plain' SETTINGS extremes = 0";
        assert_eq!(ask(&store, parts).await, [1]);

        // More than the user may have is an error, not fewer rows.
        let answer = match store.query("SELECT number FROM numbers(5000)").await {
            Ok(stream) => stream.try_collect::<Vec<_>>().await,
            Err(error) => Err(error),
        };
        let error = answer.expect_err("too many rows");
        assert!(error.to_string().contains("Limit for result exceeded"), "{error}");

        let mut deep = Predicate::eq("value", 7_u64);
        for level in 0..50 {
            deep = Predicate::Or(vec![
                Predicate::eq("value", 2000 + level),
                Predicate::And(vec![deep, Predicate::always()]),
            ]);
        }
        let none = Predicate::Not(Box::new(Predicate::any_of("note", ["x", "y"])));
        for (predicate, expected) in [(deep, vec![7]), (none, vec![])] {
            let request = ScanRequest::new(name("plain")).columns(["value"]).filter(predicate);
            assert_eq!(numbers(&scan(&store, request).await), expected);
        }
        store.drop_before(&name("plain"), Timestamp::from_nanos(START + 990 * SECOND)).await.unwrap();
        assert_eq!(values(&store).await, (990..1000).collect::<Vec<_>>());
        store.create_dictionary(&required(), &["value"], "note").await.unwrap();
    });
}

fn required() -> storage_api::TableDefinition {
    storage_api::TableDefinition::builder("plain")
        .time("time", "")
        .number("value", arrow_schema::DataType::UInt64, "")
        .required()
        .text("note", "")
        .required()
        .build()
        .unwrap()
}
