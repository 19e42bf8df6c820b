use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use metaflow_protocol::tables::TABLES;
use storage_api::{Storage, TableName, Timestamp};
use tracing::{debug, warn};

/// How long rows are kept, by table and in all. The dictionary is kept for ever: rows are numbers without it.
///
/// Written as in `--retention`: `72h` for all tables, `calls=72h,metrics_1m=30d` for some, `7d,metrics_1m=forever` for both. By
/// default, and in a table that is not named, rows are kept for ever: time is that of the rows, and an old capture that is read
/// into a store is to stay there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retention {
    /// For tables that are not named; none: for ever.
    others: Option<Duration>,
    tables: BTreeMap<String, Option<Duration>>,
    /// Most bytes of sealed files in an embedded store; beyond them the oldest files go first.
    pub bytes: Option<u64>,
}

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Less would drop rows that are still on their way.
const SHORTEST: Duration = Duration::from_secs(60);

impl Retention {
    /// The same with a bound of all sealed files.
    #[must_use]
    pub fn with_bytes(self, bytes: Option<u64>) -> Self {
        Self { bytes, ..self }
    }

    /// How long the rows of a table are kept; none: for ever.
    #[must_use]
    pub fn of(&self, table: &str) -> Option<Duration> {
        self.tables.get(table).copied().unwrap_or(self.others)
    }

    /// The time before which rows of a table go. It moves by the hour, or by the minute where less than a day is kept, so
    /// that a store is not asked for next to nothing.
    #[must_use]
    pub fn limit(&self, table: &str, now: Timestamp) -> Option<Timestamp> {
        let keep = self.of(table)?;
        let step = if keep >= DAY { HOUR } else { SHORTEST }.as_nanos() as i64;
        let limit = now.as_nanos().saturating_sub(i64::try_from(keep.as_nanos()).unwrap_or(i64::MAX));
        Some(Timestamp::from_nanos(limit.div_euclid(step).saturating_mul(step)))
    }
}

impl FromStr for Retention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut retention = Self::default();
        let mut others = None;
        for part in text.split(',').map(str::trim) {
            let (table, keep) =
                part.split_once('=').map_or((None, part), |(table, keep)| (Some(table.trim()), keep.trim()));
            let keep = match keep {
                "forever" => None,
                keep => {
                    let length = humantime::parse_duration(keep)
                        .map_err(|_| format!("`{keep}` is no length of time: expected 72h, 30d … or forever"))?;
                    if length < SHORTEST {
                        return Err(format!("`{keep}` is too short: keep rows for a minute at least"));
                    }
                    Some(length)
                }
            };
            let Some(table) = table else {
                if others.replace(keep).is_some() {
                    return Err(
                        "more than one length of time for all tables: name the tables, as in calls=72h".to_owned()
                    );
                }
                continue;
            };
            if TABLES.iter().all(|known| known.name != table) {
                let known: Vec<_> = TABLES.iter().map(|table| table.name).collect();
                return Err(format!("no rows of a table `{table}` can be dropped: there are {}", known.join(", ")));
            }
            if retention.tables.insert(table.to_owned(), keep).is_some() {
                return Err(format!("`{table}` is named twice"));
            }
        }
        retention.others = others.flatten();
        Ok(retention)
    }
}

/// Drops what is too old, by the clock that it is handed.
pub struct Sweeper {
    storage: Arc<dyn Storage>,
    retention: Retention,
    /// What was dropped last, so that a store hears of each limit once.
    done: BTreeMap<&'static str, Timestamp>,
}

impl Sweeper {
    /// Nothing is dropped yet.
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>, retention: Retention) -> Self {
        Self { storage, retention, done: BTreeMap::new() }
    }

    /// Drops what is too old at this time. What fails is tried again the next time.
    pub async fn sweep(&mut self, now: Timestamp) {
        for table in TABLES {
            let Some(limit) = self.retention.limit(table.name, now) else { continue };
            if self.done.get(table.name).is_some_and(|done| *done >= limit) {
                continue;
            }
            let Ok(name) = TableName::new(table.name) else { continue };
            match self.storage.drop_before(&name, limit).await {
                Ok(()) => {
                    self.done.insert(table.name, limit);
                    debug!(table = table.name, before = %limit, "dropped old rows");
                }
                Err(error) => warn!(table = table.name, %error, "old rows stay until the next try"),
            }
        }
    }
}

impl fmt::Debug for Sweeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sweeper").field("retention", &self.retention).field("done", &self.done).finish_non_exhaustive()
    }
}

/// Bytes, as in `512MiB`, `50GiB` or plain `1000000`.
///
/// # Errors
/// What is expected instead.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no number of bytes: expected 512MiB, 50GiB …");
    let (number, unit) = text.split_at(text.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(text.len()));
    let unit: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(wrong()),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).filter(|bytes| *bytes > 0).ok_or_else(wrong)
}
