//! Sealed files are ordinary Parquet: other programs read the same out of them.

use std::process::Command;

use storage_api::{IngestBatch, Storage, TableDefinition};
use tempfile::TempDir;

use crate::python::python;
use crate::support::{SECOND, START, id, name, open, rows_at, run, values};

const PROGRAM: &str = r#"
import sys, duckdb, pyarrow.dataset as dataset, pyarrow.compute as compute
folder = sys.argv[1]
row = duckdb.sql(f"""
    SELECT count(*), sum(value), epoch_ns(min(time)), epoch_ns(max(time)), count(note), min(hex(trace_id)), count(DISTINCT trace_id)
    FROM read_parquet('{folder}/*.parquet')""").fetchall()[0]
print(*row)
table = dataset.dataset(folder, format="parquet").to_table()
table = table.select(["time", "value", "note", "trace_id"])
time = compute.cast(table["time"], "int64")
print(table.num_rows, compute.sum(table["value"]).as_py(), compute.min(time).as_py(), compute.max(time).as_py(),
      table.num_rows - table["note"].null_count, min(x for x in table["trace_id"].to_pylist()).hex().upper(),
      compute.count_distinct(table["trace_id"]).as_py())
"#;

#[test]
fn duckdb_and_pyarrow_read_the_same_rows() {
    let Some(python) = python() else { return };
    let folder = TempDir::new().unwrap();
    let expected = run(async {
        let store = open(folder.path()).await;
        let table = TableDefinition::builder("plain")
            .time("time", "when")
            .number("value", arrow_schema::DataType::UInt64, "which")
            .text("note", "what else")
            .binary("trace_id", "of which trace");
        store.create_table(&table.sort_by(["value"]).build().unwrap()).await.unwrap();
        for hour in 0..3_u64 {
            let plain_rows = rows_at(START + hour as i64 * 3600 * SECOND, hour * 1000..hour * 1000 + 1000);
            let mut columns: Vec<(&str, arrow_array::ArrayRef)> =
                vec![("time", plain_rows.column(0).clone()), ("value", plain_rows.column(1).clone())];
            let notes = (0..1000).map(|row| (row % 3 == 0).then(|| format!("note {row}")));
            columns.push(("note", std::sync::Arc::new(arrow_array::StringArray::from_iter(notes))));
            let ids = (0..1000_u64).map(|row| (hour * 1000 + row + 1).to_be_bytes().repeat(2));
            columns.push(("trace_id", std::sync::Arc::new(arrow_array::BinaryArray::from_iter_values(ids))));
            let batch = arrow_array::RecordBatch::try_from_iter(columns).unwrap();
            store.append(&name("plain"), IngestBatch::new(id(hour), batch)).await.unwrap();
        }
        store.flush().await.unwrap();
        let found = values(&store).await;
        store.close().await;
        let last = START + 2 * 3600 * SECOND + 999 * SECOND;
        format!("{} {} {START} {last} {} {:016X}{:016X} 3000", found.len(), found.iter().sum::<u64>(), 334 * 3, 1, 1)
    });
    let output = Command::new(python).args(["-c", PROGRAM]).arg(folder.path().join("tables/plain")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(lines.lines().collect::<Vec<_>>(), [expected.as_str(), expected.as_str()]);
}
