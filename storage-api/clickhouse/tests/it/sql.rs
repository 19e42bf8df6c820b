//! Questions in ClickHouse's own dialect.

use std::time::Duration;

use arrow_schema::{DataType, TimeUnit};
use futures::{StreamExt, TryStreamExt};
use metaflow_storage_clickhouse::Options;
use storage_api::{ScanError, SqlDialect, Storage};

use crate::support::{SECOND, append, ask, fresh_address, id, open, plain, rows, run};

#[test]
fn groups_are_made_where_the_rows_lie_and_come_with_arrow_types() {
    run(async {
        let store = open(&fresh_address(), Options::default()).await;
        assert_eq!(store.capabilities().sql, Some(SqlDialect::ClickHouse));
        store.create_table(&plain()).await.unwrap();
        append(&store, id(1, 1), rows(SECOND, 0..1000)).await.unwrap();
        let sql = "SELECT assumeNotNull(value) % 10 AS digit, count() AS calls, max(time) AS last, toString(digit) AS name, \
                   avg(value) AS mean FROM plain GROUP BY digit ORDER BY digit";
        let batches: Vec<_> = store.query(sql).await.unwrap().try_collect().await.unwrap();
        let schema = batches[0].schema();
        let types: Vec<_> = schema.fields().iter().map(|field| field.data_type().clone()).collect();
        let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
        assert_eq!(types, [DataType::UInt8, DataType::UInt64, time, DataType::Utf8, DataType::Float64]);
        assert_eq!(batches.iter().map(arrow_array::RecordBatch::num_rows).sum::<usize>(), 10);
        assert_eq!(ask(&store, "SELECT count() FROM plain").await, [1000]);
    });
}

#[test]
fn a_question_can_change_nothing() {
    run(async {
        let store = open(&fresh_address(), Options::default()).await;
        store.create_table(&plain()).await.unwrap();
        append(&store, id(1, 1), rows(SECOND, [1])).await.unwrap();
        for sql in [
            "DROP TABLE plain",
            "TRUNCATE TABLE plain",
            "ALTER TABLE plain DELETE WHERE 1",
            "INSERT INTO plain (value) VALUES (1)",
            "CREATE TABLE more (x Int8) ENGINE = Memory",
            "SET readonly = 0",
            "SELECT 1 SETTINGS readonly = 0",
            "SELECT 1; DROP TABLE plain",
        ] {
            let answer = match store.query(sql).await {
                Ok(stream) => stream.try_collect::<Vec<_>>().await,
                Err(error) => Err(error),
            };
            let error = answer.expect_err(sql);
            assert!(!error.is_retryable(), "{sql}: {error}");
        }
        assert_eq!(ask(&store, "SELECT count() FROM plain").await, [1]);
    });
}

#[test]
fn an_error_in_the_middle_of_the_rows_ends_them_with_the_servers_words() {
    run(async {
        let store = open(&fresh_address(), Options::default()).await;
        let sql = "SELECT number, throwIf(number = 3000000, 'that far and no farther') FROM numbers(10000000)";
        let stream = store.query(sql).await.unwrap();
        let all: Vec<_> = stream.collect().await;
        let (last, before) = all.split_last().unwrap();
        assert!(before.iter().all(Result::is_ok) && !before.is_empty(), "{} batches before", before.len());
        let error = last.as_ref().unwrap_err();
        assert!(error.to_string().contains("that far and no farther"), "{error}");
        assert!(!error.is_retryable(), "{error}");
    });
}

#[test]
fn a_limit_of_the_server_is_an_error_that_asks_to_try_again() {
    run(async {
        let store = open(&fresh_address(), Options::default()).await;
        for sql in [
            "SELECT groupArray(number) FROM numbers(100000000) SETTINGS max_memory_usage = 10000000",
            "SELECT count() FROM numbers(100000000000) SETTINGS max_execution_time = 0.1, max_threads = 1",
        ] {
            let answer = match store.query(sql).await {
                Ok(stream) => stream.try_collect::<Vec<_>>().await,
                Err(error) => Err(error),
            };
            let error = answer.expect_err(sql);
            assert!(error.is_retryable(), "{sql}: {error}");
        }
    });
}

#[test]
fn a_stream_that_is_dropped_ends_its_query() {
    run(async {
        let store = open(&fresh_address(), Options::default()).await;
        let mark = "a_stream_that_is_dropped";
        let sql = format!("SELECT number, '{mark}' FROM numbers(1000000000000)");
        let running = format!(
            "SELECT count() FROM system.processes WHERE query LIKE '%{mark}%' AND query NOT LIKE '%system.processes%'"
        );
        let mut stream = store.query(&sql).await.unwrap();
        assert!(stream.next().await.unwrap().unwrap().num_rows() > 0);
        assert_eq!(ask(&store, &running).await, [1]);
        drop(stream);
        while ask(&store, &running).await != [0] {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
}

#[test]
fn what_is_no_question_is_refused() {
    run(async {
        let store = open(&fresh_address(), Options::default()).await;
        for sql in ["", "SELEC 1", "SELECT * FROM nowhere", "'", "\0", "SELECT 1 FORMAT JSON"] {
            let answer = match store.query(sql).await {
                Ok(stream) => stream.try_collect::<Vec<_>>().await,
                Err(error) => Err(error),
            };
            let error = answer.expect_err(sql);
            assert!(matches!(error, ScanError::Backend(_)), "{sql}: {error}");
        }
    });
}
