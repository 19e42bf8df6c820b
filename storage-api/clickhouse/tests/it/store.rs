//! What ClickHouse makes of tables and batches.

use metaflow_storage_clickhouse::{ClickHouse, Features, Limits, Options};
use storage_api::{
    AppendError, CreateTableError, DedupLimits, Durability, Predicate, Pushdown, ScanRequest, Storage, StorageExt,
    TableDefinition, Timestamp,
};

use crate::support::{DAY, SECOND, START, append, ask, fresh_address, id, name, open, plain, rows, run, values};

#[test]
fn everything_that_this_server_can_do_is_found() {
    run(async {
        let store = open(&fresh_address(), Options::default()).await;
        // Nobody keeps a Keeper here.
        let expected = Features::ALL.without(Features::ON_CLUSTER | Features::REPLICATION);
        assert_eq!(store.features(), expected, "of version {}", store.version());
        assert_eq!(store.capabilities().durability, Durability::Disk);
        let expected: [&str; 0] = [];
        assert_eq!(store.unknown_settings(), expected);
    });
}

#[test]
fn a_batch_is_one_part_however_large_it_is_and_however_many_days_it_spans() {
    run(async {
        let store = open(&fresh_address(), Options::default()).await;
        store.create_table(&plain()).await.unwrap();
        append(&store, id(1, 1), rows(SECOND, 0..1 << 20)).await.unwrap();
        append(&store, id(1, 2), rows(DAY, 0..400)).await.unwrap();
        let parts = "SELECT rows FROM system.parts WHERE active AND database = currentDatabase() AND table = 'plain'";
        assert_eq!(ask(&store, parts).await, [400, 1 << 20]);
        let ids = "SELECT count() FROM plain WHERE BATCH != ''";
        assert_eq!(ask(&store, ids).await, [2], "each batch has its id once");
    });
}

#[test]
fn time_ranges_read_only_the_partitions_that_they_meet() {
    run(async {
        let store = open(&fresh_address(), Options::default()).await;
        store.create_table(&plain()).await.unwrap();
        for day in 0..10 {
            let mut batch = rows(SECOND, [day]);
            let times = arrow_array::TimestampNanosecondArray::from(vec![START + day as i64 * DAY]);
            let columns = vec![std::sync::Arc::new(times.with_timezone("+00:00")) as _, batch.column(1).clone()];
            batch = arrow_array::RecordBatch::try_new(batch.schema(), columns).unwrap();
            append(&store, id(1, day), batch).await.unwrap();
        }
        let sql = "SELECT extract(explain, 'Parts: ([0-9]+)/10')::UInt64 FROM \
                   (EXPLAIN indexes = 1 SELECT * FROM plain WHERE LAST_DAY >= 20250604 AND FIRST_DAY <= 20250605) \
                   WHERE explain LIKE '%Parts: %/10'";
        assert!(ask(&store, sql).await.contains(&2), "{:?}", ask(&store, sql).await);
    });
}

#[test]
fn an_id_is_known_as_long_as_any_row_of_its_batch_is_kept() {
    run(async {
        let address = fresh_address();
        // The server itself remembers nothing, so that the rows alone tell.
        let limits = Limits { insert_window: 0, ..Limits::default() };
        let options = Options { limits, ..Options::default() };
        let store = open(&address, options.clone()).await;
        store.create_table(&plain()).await.unwrap();
        append(&store, id(1, 1), rows(SECOND, 0..100)).await.unwrap();
        store.drop_before(&name("plain"), Timestamp::from_nanos(START + 99 * SECOND)).await.unwrap();
        // A process that remembers nothing either.
        let again = open(&address, options).await;
        append(&again, id(1, 1), rows(SECOND, 0..100)).await.unwrap();
        assert_eq!(values(&again).await, [99]);
    });
}

#[test]
fn a_batch_is_stored_once_also_when_the_server_remembers_nothing_and_two_processes_send() {
    run(async {
        let address = fresh_address();
        let options = Options { features: Features::ALL.without(Features::TOKENS), ..Options::default() };
        let (first, second) = (open(&address, options.clone()).await, open(&address, options).await);
        first.create_table(&plain()).await.unwrap();
        for sequence in 0..5 {
            append(&first, id(1, sequence), rows(SECOND, [sequence])).await.unwrap();
            append(&second, id(1, sequence), rows(SECOND, [sequence])).await.unwrap();
        }
        append(&second, id(1, 5), rows(SECOND, [])).await.unwrap();
        append(&first, id(1, 5), rows(SECOND, [9])).await.unwrap();
        assert_eq!(values(&first).await, [0, 1, 2, 3, 4]);
    });
}

#[test]
fn two_processes_that_send_the_same_at_once_store_it_once() {
    run(async {
        let address = fresh_address();
        let (first, second) = (open(&address, Options::default()).await, open(&address, Options::default()).await);
        first.create_table(&plain()).await.unwrap();
        for sequence in 0..20 {
            let [one, other] = [&first, &second].map(|store| append(store, id(1, sequence), rows(SECOND, [sequence])));
            let (one, other) = tokio::join!(one, other);
            one.and(other).unwrap();
        }
        assert_eq!(values(&first).await, (0..20).collect::<Vec<_>>());
    });
}

#[test]
fn a_table_that_another_process_grew_is_known_without_a_restart() {
    run(async {
        let address = fresh_address();
        let (first, second) = (open(&address, Options::default()).await, open(&address, Options::default()).await);
        first.create_table(&plain()).await.unwrap();
        append(&first, id(1, 1), rows(SECOND, [1])).await.unwrap();
        let more = TableDefinition::builder("plain").time("time", "when").binary("trace", "which trace");
        let grown = second.create_table(&more.build().unwrap()).await.unwrap();
        let request = ScanRequest::new(name("plain")).columns(["trace"]).filter(Predicate::is_null("trace"));
        let found = crate::support::scan(&first, request).await;
        assert_eq!(found.iter().map(arrow_array::RecordBatch::num_rows).sum::<usize>(), 1);
        assert_eq!(first.create_table(&plain()).await.unwrap().schema().fields(), grown.schema().fields());
    });
}

#[test]
fn a_table_that_is_dropped_behind_the_store_is_unknown_and_one_that_is_no_table_of_ours_is_said_to_be_none() {
    run(async {
        let address = fresh_address();
        let store = open(&address, Options::default()).await;
        store.create_table(&plain()).await.unwrap();
        let database = address.to_string().rsplit('/').next().unwrap().to_owned();
        crate::support::command(&format!("DROP TABLE {database}.plain SYNC"));
        let error = append(&store, id(1, 1), rows(SECOND, [1])).await.unwrap_err();
        assert!(matches!(error, AppendError::UnknownTable { .. }), "{error}");
        crate::support::command(&format!("CREATE TABLE {database}.plain (x Int64) ENGINE = Memory"));
        let error = store.create_table(&plain()).await.unwrap_err();
        assert!(error.to_string().contains("was not made by this store"), "{error}");
    });
}

#[test]
fn what_clickhouse_has_no_place_for_is_refused_by_name() {
    run(async {
        use arrow_schema::{DataType, Field};
        let store = open(&fresh_address(), Options::default()).await;
        let list = DataType::new_list(DataType::Int16, true);
        let fields = vec![Field::new("keys", DataType::UInt32, false), Field::new("values", list, true)];
        let map = DataType::Map(std::sync::Arc::new(Field::new_struct("entries", fields, false)), false);
        let column = storage_api::ColumnDefinition::new("lists", storage_api::ColumnKind::Map, map);
        let table = TableDefinition::builder("odd").time("time", "").column(column).build().unwrap();
        let error = store.create_table(&table).await.unwrap_err();
        assert!(matches!(&error, CreateTableError::UnsupportedType { column, .. } if column == "lists"), "{error}");
    });
}

#[test]
fn every_bound_is_reached_and_counted() {
    run(async {
        let dedup = DedupLimits { window: 64, senders: 2 };
        let limits = Limits { batch_rows: 10, batch_bytes: 3000, condition_bytes: 200, dedup, ..Limits::default() };
        let store = open(&fresh_address(), Options { limits, ..Options::default() }).await;
        let table = store.create_table(&plain()).await.unwrap();
        let rows_refused = append(&store, id(1, 1), rows(SECOND, 0..11)).await.unwrap_err();
        assert!(matches!(rows_refused, AppendError::TooLarge { unit: "rows", .. }), "{rows_refused}");
        let long: arrow_array::ArrayRef = std::sync::Arc::new(arrow_array::StringArray::from(vec!["x".repeat(3000)]));
        let batch = rows(SECOND, [1]);
        let wide =
            arrow_array::RecordBatch::try_from_iter([("time", batch.column(0).clone()), ("note", long)]).unwrap();
        let bytes_refused = append(&store, id(1, 1), wide).await.unwrap_err();
        assert!(matches!(bytes_refused, AppendError::TooLarge { unit: "bytes", .. }), "{bytes_refused}");
        for source in 0..5 {
            append(&store, id(source, 1), rows(SECOND, [source as u64])).await.unwrap();
            append(&store, id(0, 1), rows(SECOND, [0])).await.unwrap();
        }
        // A condition that is too long leaves rows and limit to the caller.
        let many = Predicate::any_of("value", 3_u64..1000);
        assert_eq!(store.pushdown(&name("plain"), &many), Pushdown::Unsupported);
        let request = ScanRequest::new(name("plain")).filter(many).limit(1);
        assert_eq!(
            crate::support::scan(&store, request.clone())
                .await
                .iter()
                .map(arrow_array::RecordBatch::num_rows)
                .sum::<usize>(),
            5
        );
        let exact: Vec<_> =
            futures::TryStreamExt::try_collect(store.scan_exact(&table, request).await.unwrap()).await.unwrap();
        assert_eq!(exact.iter().map(arrow_array::RecordBatch::num_rows).sum::<usize>(), 1);
        let stats = store.stats();
        assert_eq!(stats.refused_large, 2);
        assert!(stats.conditions_left >= 2 && stats.windows_forgotten >= 3, "{stats:?}");
    });
}

#[test]
fn names_of_integers_are_there_for_who_asks_clickhouse_itself() {
    run(async {
        let store: ClickHouse = open(&fresh_address(), Options::default()).await;
        let table = TableDefinition::builder("plain")
            .time("time", "")
            .number("value", arrow_schema::DataType::UInt64, "")
            .required()
            .text("note", "")
            .required()
            .build()
            .unwrap();
        store.create_table(&table).await.unwrap();
        store.create_dictionary(&table, &["value"], "note").await.unwrap();
        store.create_dictionary(&table, &["value"], "note").await.unwrap();
        let batch = rows(SECOND, [7]);
        let text: arrow_array::ArrayRef = std::sync::Arc::new(arrow_array::StringArray::from(vec!["seven"]));
        let columns = [("time", batch.column(0).clone()), ("value", batch.column(1).clone()), ("note", text)];
        append(&store, id(1, 1), arrow_array::RecordBatch::try_from_iter(columns).unwrap()).await.unwrap();
        let sql = "SELECT length(dictGet('PLAIN', 'note', tuple(7::UInt64))) FROM plain";
        assert_eq!(ask(&store, sql).await, [5]);
        let error = store.create_dictionary(&table, &["time", "nowhere"], "note").await.unwrap_err();
        assert!(error.to_string().contains("nowhere"), "{error}");
    });
}

#[test]
fn lists_and_maps_of_text_come_back_as_they_went() {
    run(async {
        use std::sync::Arc;

        use arrow_array::builder::{ListBuilder, MapBuilder, StringBuilder, TimestampNanosecondBuilder, UInt32Builder};
        use arrow_array::{Array, ArrayRef, RecordBatch};
        use arrow_schema::{DataType, Field};
        use storage_api::{BatchId, ColumnDefinition, ColumnKind, IngestBatch};

        let time = Timestamp::data_type();
        let list = |name: &str, element: &DataType, nullable| {
            let data_type = DataType::List(Arc::new(Field::new("item", element.clone(), nullable)));
            ColumnDefinition::new(name, ColumnKind::List, data_type)
        };
        let map = |name: &str, kind, key: DataType, nullable| {
            let fields = vec![Field::new("key", key, false), Field::new("value", DataType::Utf8, nullable)];
            let entries = Arc::new(Field::new_struct("entries", fields, false));
            ColumnDefinition::new(name, kind, DataType::Map(entries, false))
        };
        let table = TableDefinition::builder("nested")
            .time("time", "")
            .column(list("texts", &DataType::Utf8, false))
            .column(list("times", &time, true))
            .column(map("overflow", ColumnKind::Map, DataType::Utf8, false))
            .column(map("attributes", ColumnKind::id("key"), DataType::UInt32, true))
            .build()
            .unwrap();
        let types: Vec<DataType> = table.schema().fields().iter().map(|field| field.data_type().clone()).collect();
        let field = |index: usize| match &types[index] {
            DataType::List(field) | DataType::Map(field, _) => field.clone(),
            other => panic!("{other}"),
        };
        let entry = |index: usize| match field(index).data_type() {
            DataType::Struct(fields) => (fields[0].clone(), fields[1].clone()),
            other => panic!("{other}"),
        };
        let mut texts = ListBuilder::new(StringBuilder::new()).with_field(field(1));
        let zoned = TimestampNanosecondBuilder::new().with_timezone("+00:00");
        let mut times = ListBuilder::new(zoned).with_field(field(2));
        let mut overflow = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new())
            .with_keys_field(entry(3).0)
            .with_values_field(entry(3).1);
        let mut attributes = MapBuilder::new(None, UInt32Builder::new(), StringBuilder::new())
            .with_keys_field(entry(4).0)
            .with_values_field(entry(4).1);
        const ROWS: usize = 100;
        for row in 0..ROWS {
            let valid = row % 4 != 3;
            for item in 0..row % 3 * usize::from(valid) {
                texts.values().append_value(format!("it's \0 é {item}"));
                times.values().append_option((item > 0).then_some(i64::MIN + row as i64));
                overflow.keys().append_value(format!("key {item}"));
                overflow.values().append_value("");
                // The same key twice, as senders may.
                attributes.keys().append_value(7);
                attributes.values().append_option((item > 0).then_some("x"));
            }
            texts.append(valid);
            times.append(valid);
            overflow.append(valid).unwrap();
            attributes.append(valid).unwrap();
        }
        let when = arrow_array::TimestampNanosecondArray::from_iter_values((0..ROWS as i64).map(|row| START + row));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(when.with_timezone("+00:00")),
            Arc::new(texts.finish()),
            Arc::new(times.finish()),
            Arc::new(overflow.finish()),
            Arc::new(attributes.finish()),
        ];
        let sent = RecordBatch::try_new(table.schema().clone(), columns).unwrap();
        for features in [Features::ALL, Features::NONE] {
            let store = open(&fresh_address(), Options { features, ..Options::default() }).await;
            assert_eq!(store.create_table(&table).await.unwrap(), table);
            let id = BatchId { source: 1, epoch: 1, sequence: 1 };
            store.append(table.name(), IngestBatch::new(id, sent.clone())).await.unwrap();
            let found = crate::support::scan(&store, ScanRequest::new(table.name().clone())).await;
            assert_eq!(found.iter().map(RecordBatch::num_rows).sum::<usize>(), ROWS);
            // Sorted by time, as they went.
            let mut row = 0;
            for batch in &found {
                let expected = sent.slice(row, batch.num_rows());
                for (found, sent) in batch.columns().iter().zip(expected.columns()) {
                    assert_eq!(found.data_type(), sent.data_type());
                    for row in 0..batch.num_rows() {
                        assert_eq!(&found.slice(row, 1), &sent.slice(row, 1), "{}", sent.data_type());
                    }
                }
                row += batch.num_rows();
            }
        }
    });
}
