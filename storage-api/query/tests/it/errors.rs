use metaflow_query::{Named, Position, QueryError};

use crate::fixture::Fixture;

#[tokio::test]
async fn a_wrong_name_gets_its_place_and_its_neighbours() {
    let fixture = Fixture::new().await;
    for (sql, text) in [
        ("SELECT * FROM cals", "there is no table `cals` at line 1, column 15: did you mean `calls`?"),
        (
            "SELECT\n  endpiont FROM calls",
            "there is no column `endpiont` at line 2, column 3: did you mean `endpoint`?",
        ),
        ("SELECT calls.bites FROM calls", "there is no column `bites` at line 1, column 14: did you mean `bytes`?"),
        (
            "SELECT histogram_quantil(1) FROM calls",
            "there is no function `histogram_quantil` at line 1, column 8: did you mean `histogram_quantile`?",
        ),
        ("SELECT bytes FROM calls WHERE", "expected: an expression, found: EOF"),
        ("SELEC 1", "expected: an SQL statement, found: SELEC at line 1, column 1"),
        ("SELECT 'open", "unterminated string literal at line 1, column 8"),
    ] {
        assert_eq!(fixture.error(sql).await.to_string(), text, "{sql}");
    }
    let error = fixture.error("SELECT nothing FROM calls").await;
    assert!(matches!(error, QueryError::Unknown { what: Named::Column, .. }));
    assert_eq!(error.position(), Some(Position { line: 1, column: 8 }));
    assert_eq!(error.sqlstate(), "42703");
}

#[tokio::test]
async fn errors_are_one_line_whatever_was_asked() {
    let fixture = Fixture::new().await;
    for sql in [
        "SELECT bytes / 0 FROM calls",
        "SELECT endpoint + 1 FROM calls",
        "SELECT sum(endpoint) FROM calls",
        "SELECT CAST('x' AS INT) FROM calls",
        "SELECT bytes FROM calls GROUP BY endpoint",
        "SELECT histogram_quantile(2, 'a', 'b') FROM calls",
        "SELECT * FROM calls a, calls b WHERE bytes = 1",
        "SELECT 1; SELECT 2",
        "SELECT $0",
    ] {
        let text = fixture.error(sql).await.to_string();
        assert!(!text.is_empty() && !text.contains('\n') && text.chars().count() < 700, "{sql}: {text}");
        assert!(!text.contains("internal error"), "{sql}: {text}");
    }
}

#[tokio::test]
async fn nothing_that_writes_or_leaves_the_store_is_reachable() {
    let fixture = Fixture::new().await;
    for sql in [
        "CREATE TABLE t AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '/etc'",
        "CREATE VIEW v AS SELECT 1",
        "DROP TABLE calls",
        "INSERT INTO calls (bytes) VALUES (1)",
        "DELETE FROM calls",
        "UPDATE calls SET bytes = 1",
        "COPY calls TO '/tmp/stolen.parquet'",
        "COPY (SELECT 1) TO '/tmp/stolen.csv'",
        "SET datafusion.execution.batch_size = 1",
        "PREPARE p AS SELECT 1",
        "TRUNCATE calls",
        "EXPLAIN ANALYZE INSERT INTO calls (bytes) VALUES (1)",
        "WITH x AS (SELECT 1) INSERT INTO calls (bytes) SELECT * FROM x",
    ] {
        let error = fixture.error(sql).await;
        assert!(
            matches!(error, QueryError::ReadOnly { .. } | QueryError::Invalid { .. } | QueryError::Syntax { .. }),
            "{sql}: {error}"
        );
    }
    for sql in
        ["SELECT * FROM '/etc/passwd'", "SELECT * FROM read_parquet('/etc/passwd')", "SELECT * FROM \"/etc/passwd\""]
    {
        assert!(fixture.batches(sql).await.is_err(), "{sql}");
    }
    assert!(!std::path::Path::new("/tmp/stolen.csv").exists());
    assert_eq!(fixture.lines("SELECT count(*) FROM calls").await, ["5"]);
}
