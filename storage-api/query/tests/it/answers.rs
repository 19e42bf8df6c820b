use proptest::prelude::*;

use crate::fixture::{Fixture, OVERFLOWED};

#[tokio::test]
async fn integers_come_back_as_the_names_they_stand_for() {
    let fixture = Fixture::new().await;
    let lines = fixture.lines("SELECT endpoint, client, trace_id, bytes FROM calls ORDER BY time").await;
    assert_eq!(
        lines,
        [
            "/cart|10.0.0.1:5000|abababababababababababababababab|100",
            "/pay|[2001:db8::1]:5001|sw8-text|200",
            "/cart|10.0.0.1:5002|-|300",
            "-|10.0.0.1:5000|-|400",
            &format!("{OVERFLOWED}|10.0.0.1:5003|-|500"),
        ]
    );
    assert_eq!(
        fixture.lines("SELECT start_ns, client_address FROM calls WHERE start_ns = 20").await,
        ["20|2001:db8::1"]
    );
}

#[tokio::test]
async fn a_name_given_out_by_two_writers_is_one_group() {
    let fixture = Fixture::new().await;
    let lines = fixture
        .lines("SELECT endpoint, count(*), sum(bytes) FROM calls GROUP BY endpoint ORDER BY 1 NULLS FIRST")
        .await;
    assert_eq!(lines, ["-|1|400", "/cart|2|400", &format!("{OVERFLOWED}|1|500"), "/pay|1|200"]);
}

#[tokio::test]
async fn conditions_on_names_become_conditions_on_integers() {
    let fixture = Fixture::new().await;
    let plan = fixture.lines("EXPLAIN SELECT bytes FROM calls WHERE endpoint = '/cart'").await.join("\n");
    assert!(plan.contains("endpoint IN (1)") && plan.contains("endpoint IN (2)"), "{plan}");
    assert_eq!(fixture.lines("SELECT bytes FROM calls WHERE endpoint = '/cart' ORDER BY 1").await, ["100", "300"]);
    let plan = fixture.lines("EXPLAIN SELECT bytes FROM calls WHERE time >= '1970-01-01T00:00:00.000000030Z' AND time < to_timestamp_nanos(50)").await.join("\n");
    assert!(plan.contains("from=30 ns, until=50 ns"), "{plan}");
    let plan = fixture.lines("EXPLAIN SELECT bytes FROM calls WHERE client = '10.0.0.1:5000'").await.join("\n");
    assert!(plan.contains("00000000000000000000ffff0a000001"), "{plan}");
}

#[tokio::test]
async fn a_text_that_found_no_integer_is_found_all_the_same() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.lines("SELECT bytes FROM calls WHERE endpoint = '/overflowed'").await, ["500"]);
    assert_eq!(fixture.lines("SELECT bytes FROM calls WHERE endpoint <> '/cart' ORDER BY 1").await, ["200", "500"]);
    assert_eq!(fixture.lines("SELECT attributes['overflowed_key'] FROM calls WHERE bytes = 500").await, ["kept"]);
}

#[tokio::test]
async fn attributes_read_by_their_names() {
    let fixture = Fixture::new().await;
    let lines = fixture
        .lines(
            "SELECT bytes, attributes['user_agent'] FROM calls WHERE attributes['user_agent'] IS NOT NULL ORDER BY 1",
        )
        .await;
    assert_eq!(lines, ["100|curl", "300|wrk"]);
}

#[tokio::test]
async fn names_work_in_the_functions_that_people_use_on_text() {
    let fixture = Fixture::new().await;
    for (sql, answer) in [
        ("SELECT count(*) FROM calls WHERE endpoint LIKE '/c%'", "2"),
        ("SELECT count(*) FROM calls WHERE endpoint ~ '^/(cart|pay)$'", "3"),
        ("SELECT count(DISTINCT endpoint) FROM calls", "3"),
        ("SELECT max(endpoint) FROM calls", "/pay"),
        ("SELECT min(client) FROM calls", "10.0.0.1:5000"),
        ("SELECT upper(endpoint) FROM calls WHERE bytes = 100", "/CART"),
        ("SELECT coalesce(endpoint, 'none') FROM calls WHERE bytes = 400", "none"),
        ("SELECT endpoint || '!' FROM calls WHERE bytes = 100", "/cart!"),
        ("SELECT CASE WHEN endpoint = '/cart' THEN 'c' ELSE endpoint END FROM calls WHERE bytes = 200", "/pay"),
        ("SELECT length(endpoint) FROM calls WHERE bytes = 100", "5"),
        ("SELECT split_part(client, ':', 1) FROM calls WHERE bytes = 100", "10.0.0.1"),
        ("SELECT count(*) FROM calls a JOIN calls b ON a.endpoint = b.endpoint", "6"),
        ("SELECT count(*) FROM (SELECT endpoint FROM calls UNION SELECT 'x') AS u", "5"),
        ("SELECT string_agg(endpoint, ',' ORDER BY bytes) FROM calls WHERE bytes < 250", "/cart,/pay"),
        ("SELECT date_trunc('second', time) FROM calls WHERE bytes = 100", "1970-01-01T00:00:00Z"),
        ("SELECT first_value(endpoint ORDER BY bytes) FROM calls", "/cart"),
        ("SELECT count(*) FROM calls WHERE endpoint IN ('/cart', '/pay', '/nowhere')", "3"),
        ("SELECT count(*) FROM calls WHERE endpoint NOT IN ('/cart')", "2"),
        ("SELECT count(*) FROM calls WHERE endpoint IS NULL", "1"),
        ("SELECT count(*) FROM calls WHERE NOT (endpoint = '/cart')", "2"),
        ("SELECT count(*) FROM calls WHERE client_address = '10.0.0.1' AND bytes > 250", "3"),
        ("SELECT count(*) FROM calls WHERE client IN ('10.0.0.1:5000', '[2001:db8::1]:5001')", "3"),
        ("SELECT count(*) FROM calls WHERE client_address > '1'", "5"),
        ("SELECT count(*) FROM calls WHERE trace_id = 'abababababababababababababababab'", "1"),
        ("SELECT count(*) FROM calls WHERE CAST(bytes AS VARCHAR) = '100'", "1"),
        ("SELECT count(*) FROM calls", "5"),
        ("SELECT 1", "1"),
    ] {
        assert_eq!(fixture.lines(sql).await, [answer], "{sql}");
    }
}

#[tokio::test]
async fn the_catalogue_names_tables_and_columns() {
    let fixture = Fixture::new().await;
    let tables = fixture
        .lines("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1")
        .await;
    assert_eq!(tables, ["calls", "metrics_1s"]);
    let columns = fixture
        .lines(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'calls' ORDER BY ordinal_position",
        )
        .await;
    assert_eq!(
        columns,
        [
            "time",
            "client",
            "endpoint",
            "client_address",
            "client_port",
            "trace_id",
            "bytes",
            "attributes",
            "writer",
            "start_ns"
        ]
    );
    assert_eq!(fixture.lines("SHOW TABLES").await.iter().filter(|line| line.contains("public")).count(), 2);
}

#[tokio::test]
async fn a_statement_with_parameters_is_planned_once() {
    let fixture = Fixture::new().await;
    let statement =
        fixture.engine.parse("SELECT bytes FROM calls WHERE endpoint = $1 AND bytes > $2").unwrap().remove(0);
    let prepared = fixture.engine.prepare(&statement).await.unwrap();
    assert_eq!(prepared.parameters().len(), 2);
    assert_eq!(prepared.schema().field(0).name(), "bytes");
    let values = vec!["/cart".into(), metaflow_query::ScalarValue::UInt64(Some(200))];
    let answer = fixture.engine.run(&prepared, values).await.unwrap();
    let batches: Vec<_> = futures::TryStreamExt::try_collect(answer).await.unwrap();
    assert_eq!(batches.iter().map(arrow_array::RecordBatch::num_rows).sum::<usize>(), 1);
}

/// A condition, as SQL text.
fn condition() -> impl Strategy<Value = String> {
    let names =
        prop_oneof![Just("'/cart'"), Just("'/pay'"), Just("'/overflowed'"), Just("'/nowhere'"), Just("'/only-here'")];
    let clients = prop_oneof![Just("'10.0.0.1:5000'"), Just("'[2001:db8::1]:5001'"), Just("'nonsense'")];
    let leaf = prop_oneof![
        (prop_oneof![Just("="), Just("<>"), Just("<"), Just(">=")], names.clone())
            .prop_map(|(op, name)| format!("endpoint {op} {name}")),
        prop::collection::vec(names.clone(), 1..4).prop_map(|list| format!("endpoint IN ({})", list.join(","))),
        prop::collection::vec(names, 1..3).prop_map(|list| format!("endpoint NOT IN ({})", list.join(","))),
        (prop_oneof![Just("="), Just("<>")], clients).prop_map(|(op, client)| format!("client {op} {client}")),
        (prop_oneof![Just("="), Just("<"), Just(">="), Just("<>")], prop_oneof![4998u64..5005, Just(70_000)])
            .prop_map(|(op, port)| format!("client_port {op} {port}")),
        (prop_oneof![Just("="), Just("<"), Just(">="), Just("<>")], 0u64..600)
            .prop_map(|(op, bytes)| format!("bytes {op} {bytes}")),
        (prop_oneof![Just("="), Just("<"), Just("<="), Just(">"), Just(">="), Just("<>")], 0i64..60)
            .prop_map(|(op, time)| format!("time {op} to_timestamp_nanos({time})")),
        (0i64..60, 0i64..60)
            .prop_map(|(from, to)| format!("time BETWEEN to_timestamp_nanos({from}) AND to_timestamp_nanos({to})")),
        (prop_oneof![Just("="), Just("<"), Just(">=")], 0i64..60)
            .prop_map(|(op, time)| format!("start_ns {op} {time}")),
        Just("endpoint IS NULL".to_owned()),
        Just("trace_id IS NOT NULL".to_owned()),
        Just("trace_id = 'sw8-text'".to_owned()),
        Just("endpoint LIKE '/c%'".to_owned()),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} AND {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} OR {b})")),
            inner.prop_map(|a| format!("(NOT {a})")),
        ]
    })
}

/// The same condition over the same rows, but where nothing can be pushed below: the rows go through a sort with an offset first.
#[test]
fn pushing_a_condition_down_never_changes_an_answer() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(16 << 20).build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (fixture, files) = runtime.block_on(async { (Fixture::new().await, Fixture::in_files(folder.path()).await) });
    let plan = runtime.block_on(files.lines("EXPLAIN SELECT bytes FROM calls WHERE client_port = 5000")).join("\n");
    assert!(plan.contains("DataSourceExec"), "files are read by the store's own tables: {plan}");
    proptest!(ProptestConfig::with_cases(150), |(condition in condition())| {
        let pushed = format!("SELECT bytes FROM calls WHERE {condition} ORDER BY bytes");
        let after = format!(
            "SELECT bytes FROM (SELECT * FROM calls ORDER BY bytes LIMIT 1000) AS all_rows WHERE {condition} ORDER BY bytes"
        );
        let after = runtime.block_on(fixture.lines(&after));
        prop_assert_eq!(&runtime.block_on(fixture.lines(&pushed)), &after);
        prop_assert_eq!(&runtime.block_on(files.lines(&pushed)), &after, "from files");
    });
}
