//! Runs the suite.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use datafusion::arrow::compute::{cast, sum};
use datafusion::catalog::SchemaProvider;
use datafusion::prelude::{SessionConfig, SessionContext};
use metaflow_storage_embedded::{Embedded, Options};
use rustix::time::{ClockId, clock_gettime};
use storage_api::{BatchId, IngestBatch, Storage};

use super::peer::{self, Answer, Question};
use super::rows::{self, BATCH, RATE, Rows, START, Texts};
use crate::Report;

/// How much is done.
struct Extent {
    /// Rows of the store that questions are asked of.
    asked: usize,
    /// Rows of those of which only the size is asked.
    sized: usize,
    rounds: usize,
}

const FULL: Extent = Extent { asked: 100_000_000, sized: 8_000_000, rounds: 5 };
const QUICK: Extent = Extent { asked: 4_000_000, sized: 1_000_000, rounds: 3 };
/// Batches that are on their way at once.
const SENDERS: usize = 4;

/// Runs the suite.
///
/// # Errors
/// When the store fails, or a peer answers something else than it.
pub fn run(quick: bool) -> Result<Report> {
    let extent = if quick { QUICK } else { FULL };
    let mut report = Report::default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        for (name, texts) in
            [("traced", Texts { resource: false, traced: 1 }), ("texts", Texts { resource: true, traced: 1 })]
        {
            let store = Filled::new(extent.sized, texts).await?;
            report.figure(format!("storage.bytes_per_call.{name}"), store.bytes_per_row(), "bytes");
            store.close().await;
        }
        let store = Filled::new(extent.asked, Texts { resource: false, traced: 100 }).await?;
        store.report(&mut report);
        let questions = questions(extent.asked);
        let ours = store.ask(&questions, extent.rounds).await?;
        for answer in &ours {
            report.figure(format!("storage.{}.ms", answer.name), answer.seconds * 1e3, "ms");
        }
        let files = parquet_files(&store.folder.path().join("tables/calls"))?;
        match peer::duckdb(store.folder.path(), &questions, extent.rounds, &files)? {
            Some(theirs) => compare(&mut report, "duckdb", extent.asked, &ours, &theirs)?,
            None => report.note("DuckDB is not installed: left out"),
        }
        store.close().await;
        Ok(report)
    })
}

/// A store with rows in sealed files, and what it took to get them there.
struct Filled {
    folder: tempfile::TempDir,
    store: Arc<Embedded>,
    rows: usize,
    appended: (Duration, Duration),
    sealed: Duration,
}

impl Filled {
    async fn new(rows: usize, texts: Texts) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let options = Options { flush_after: Duration::from_secs(3600), ..Options::default() };
        let store = Arc::new(Embedded::open(folder.path(), options).await?);
        let mut made = Rows::new(texts);
        store.create_table(made.table()).await?;
        let table = made.table().name().clone();
        let batches = rows.div_ceil(BATCH);
        let (mut wall, mut processor) = (Duration::ZERO, Duration::ZERO);
        let mut sequence = 0;
        // Rows are made before the clock runs, a part at a time.
        while sequence < batches {
            let part: Vec<RecordBatch> = (sequence..batches.min(sequence + 64)).map(|_| made.batch()).collect();
            let (clock, spent) = (Instant::now(), process_time());
            let mut senders = tokio::task::JoinSet::new();
            for (place, batch) in part.iter().enumerate() {
                if senders.len() == SENDERS {
                    senders.join_next().await.context("a sender")???;
                }
                let (store, table, batch) = (store.clone(), table.clone(), batch.clone());
                let id = BatchId { source: 1, epoch: 1, sequence: (sequence + place) as u64 };
                senders.spawn(async move { anyhow::Ok(store.append(&table, IngestBatch::new(id, batch)).await?) });
            }
            while let Some(sent) = senders.join_next().await {
                sent??;
            }
            wall += clock.elapsed();
            processor += process_time() - spent;
            sequence += part.len();
            eprint!("\r{:>4} % of {rows} rows appended", sequence * 100 / batches);
        }
        eprintln!();
        let spent = process_time();
        store.flush().await?;
        store.merge().await?;
        let sealed = process_time() - spent;
        let stats = store.stats();
        ensure!(stats.file_rows == (batches * BATCH) as u64, "{stats:?}");
        Ok(Self { folder, store, rows: batches * BATCH, appended: (wall, processor), sealed })
    }

    fn bytes_per_row(&self) -> f64 {
        let stats = self.store.stats();
        stats.file_bytes as f64 / stats.file_rows as f64
    }

    fn report(&self, report: &mut Report) {
        let rate = |time: Duration| self.rows as f64 / time.as_secs_f64();
        let stats = self.store.stats();
        report.figure("storage.append.rows_per_s", rate(self.appended.0), "rows/s");
        report.figure("storage.append.rows_per_cpu_s", rate(self.appended.1 + self.sealed), "rows/s");
        report.figure("storage.log.bytes_per_call", stats.log_bytes as f64 / stats.rows as f64, "bytes");
        report.figure("storage.bytes_per_call", self.bytes_per_row(), "bytes");
        report.figure("storage.files", stats.files as f64, "files");
    }

    /// Asks through the query engine, one thread, as the peers.
    async fn ask(&self, questions: &[Question], rounds: usize) -> Result<Vec<Answer>> {
        let extension = self.store.extension().context("the store's tables")?;
        let tables = extension.downcast::<Arc<dyn SchemaProvider>>().ok().context("tables of the query engine")?;
        let session = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
        session.register_table("calls", tables.table("calls").await?.context("the table")?)?;
        let mut answers = Vec::new();
        for question in questions {
            let mut answer =
                Answer { name: question.name.to_owned(), seconds: f64::INFINITY, rows: 0, total: 0.0, bytes: 0 };
            for _ in 0..rounds {
                let spent = process_time();
                let batches = session.sql(&question.sql).await?.collect().await?;
                answer.seconds = answer.seconds.min((process_time() - spent).as_secs_f64());
                answer.rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
                answer.total = batches.iter().map(total).sum::<Result<f64>>()?;
            }
            answers.push(answer);
        }
        Ok(answers)
    }

    async fn close(self) {
        if let Some(store) = Arc::into_inner(self.store) {
            store.close().await;
        }
    }
}

/// What is asked of a store with so many rows.
fn questions(rows: usize) -> Vec<Question> {
    let middle = START + rows as i64 / 2 * (1_000_000_000 / RATE);
    let trace: String = rows::trace_of(rows as u64 / 200 * 100).iter().map(|byte| format!("{byte:02X}")).collect();
    let question = |name, sql: &str| Question { name, sql: sql.to_owned() };
    vec![
        question(
            "group",
            "SELECT endpoint, count(*) AS calls, sum(duration_ns) AS took, sum(CASE WHEN status > 1 THEN 1 ELSE 0 END) AS failed FROM calls GROUP BY endpoint",
        ),
        question(
            "group2",
            "SELECT domain, process_container, count(*) AS calls, max(duration_ns) AS longest FROM calls GROUP BY domain, process_container",
        ),
        question(
            "filter",
            "SELECT count(*) AS calls, sum(response_bytes) AS answered FROM calls WHERE endpoint = 777 AND duration_ns > 10000000",
        ),
        Question {
            name: "minute",
            sql: format!(
                "SELECT status, count(*) AS calls, max(duration_ns) AS longest FROM calls WHERE time >= to_timestamp({}) AND time < to_timestamp({}) GROUP BY status",
                middle / 1_000_000_000,
                middle / 1_000_000_000 + 60
            ),
        },
        Question {
            name: "point",
            sql: format!("SELECT duration_ns, id FROM calls WHERE trace_id = {}", literal(&trace)),
        },
    ]
}

/// Bytes that every dialect reads.
fn literal(hex: &str) -> String {
    format!("X'{hex}'")
}

fn compare(report: &mut Report, peer: &str, rows: usize, ours: &[Answer], theirs: &[Answer]) -> Result<()> {
    for their in theirs {
        match ours.iter().find(|answer| answer.name == their.name) {
            Some(our) => {
                let same = our.rows == their.rows && (our.total - their.total).abs() <= our.total.abs() * 1e-9;
                ensure!(same, "{peer} and we differ on {}: {their:?}, {our:?}", our.name);
                report.figure(format!("storage.{}.{peer}_ms", our.name), their.seconds * 1e3, "ms");
                report.ratio(format!("storage.{}.vs_{peer}", our.name), their.seconds, our.seconds);
            }
            None if their.name == "load" => {
                report.figure(format!("storage.append.{peer}_rows_per_cpu_s"), rows as f64 / their.seconds, "rows/s");
                report.figure(format!("storage.{peer}_bytes_per_call"), their.bytes as f64 / rows as f64, "bytes");
            }
            None => {}
        }
    }
    Ok(())
}

/// Sum of all numbers of a batch.
fn total(batch: &RecordBatch) -> Result<f64> {
    let numbers = batch.columns().iter().filter(|column| rows::is_number(column.data_type()));
    let sums = numbers.map(|column| {
        let column = cast(column, &DataType::Float64)?;
        Ok(if column.is_empty() { 0.0 } else { sum(column.as_primitive::<Float64Type>()).unwrap_or(0.0) })
    });
    sums.sum()
}

fn parquet_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let paths = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut files = paths.collect::<Result<Vec<_>>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "parquet"));
    Ok(files)
}

/// Processor time of all threads of this process.
fn process_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
