use std::time::Duration;

use metaflow_query::{QueryError, QueryLimits};

use crate::fixture::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn a_query_without_end_is_ended_by_its_timeout() {
    let fixture = Fixture::with_limits(QueryLimits::default().with_timeout(Duration::from_millis(300))).await;
    let sql = "SELECT count(*) FROM generate_series(1, 1000000000) a, generate_series(1, 1000000000) b WHERE a.value * b.value = 7";
    assert_eq!(fixture.error(sql).await, QueryError::Timeout(Duration::from_millis(300)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_wants_more_memory_than_there_is_is_refused() {
    let fixture = Fixture::with_limits(QueryLimits::default().with_memory_bytes(1 << 20)).await;
    let sql = "SELECT value % 10000000 AS v, count(*) FROM generate_series(1, 10000000) GROUP BY 1";
    assert_eq!(fixture.error(sql).await, QueryError::Memory);
    assert_eq!(fixture.lines("SELECT count(*) FROM calls").await, ["5"], "the next one is answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_too_long_says_so() {
    let fixture = Fixture::with_limits(QueryLimits::default().with_answer_rows(4)).await;
    assert_eq!(fixture.error("SELECT * FROM calls").await, QueryError::TooManyRows(4));
    assert_eq!(fixture.lines("SELECT bytes FROM calls LIMIT 4").await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_and_deep_statements_are_refused_before_they_cost() {
    let fixture = Fixture::new().await;
    let long = format!("SELECT '{}'", "x".repeat(1 << 20));
    assert!(matches!(fixture.error(&long).await, QueryError::TooLarge { unit: "bytes", .. }));
    let chain = format!("SELECT 1{}", "+1".repeat(100_000));
    assert!(matches!(fixture.error(&chain).await, QueryError::TooLarge { unit: "words and signs", .. }));
    let deep = format!("SELECT {}1{}", "(".repeat(1500), ")".repeat(1500));
    assert!(matches!(fixture.error(&deep).await, QueryError::Syntax { .. }));
}

#[test]
fn a_statement_as_deep_as_allowed_is_answered_and_a_long_list_is_no_depth() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(64 << 20).build().unwrap();
    let lines = runtime.block_on(runtime.spawn(async {
        let fixture = Fixture::new().await;
        let chain = format!("SELECT 1{}", "+1".repeat(1_900));
        let list: Vec<_> = (0..50_000).map(|number| format!("'name-{number}'")).collect();
        let list = format!("SELECT count(*) FROM calls WHERE endpoint IN ({}, '/pay')", list.join(","));
        [fixture.lines(&chain).await, fixture.lines(&list).await].concat()
    }));
    assert_eq!(lines.unwrap(), ["1901", "1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_waits_for_its_turn_and_an_abandoned_one_gives_it_back() {
    let fixture = Fixture::with_limits(QueryLimits::default().with_concurrent(1)).await;
    let endless = "SELECT value FROM generate_series(1, 1000000000000)";
    let first = fixture.engine.query(endless).await.unwrap();
    let mut second = Box::pin(fixture.lines("SELECT count(*) FROM calls"));
    // Answered within this time, it has not waited; a slow machine only makes it wait longer.
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut second).await.is_err());
    drop(first);
    assert_eq!(second.await, ["5"]);
}
