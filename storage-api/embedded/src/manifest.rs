//! What the store consists of: one small file that is replaced as a whole, format 1.
//!
//! ```text
//! manifest = "metaflow-manifest 1 crc32c=" 8 hex digits " bytes=" decimal LF json
//! ```
//!
//! Checksum and length are those of the JSON text. Files that it does not name are no part of the store; log segments below
//! `log_from` are contained in its files and windows.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use arrow_ipc::convert::try_schema_from_flatbuffer_bytes;
use arrow_ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions};
use serde::{Deserialize, Serialize};
use storage_api::{BatchWindow, BatchWindows, DedupLimits, TableDefinition, TableName, Timestamp};

const VERSION: u32 = 1;
const MAGIC: &str = "metaflow-manifest";

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// The first log segment that is still needed.
    pub(crate) log_from: u64,
    /// The id that the next file gets; ids are never used twice.
    pub(crate) next_file: u64,
    pub(crate) tables: BTreeMap<String, TableEntry>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TableEntry {
    /// The table's Arrow schema as an IPC schema message, in hex.
    schema: String,
    /// Rows before this time (nanoseconds since 1970) were dropped.
    pub(crate) kept_from: Option<i64>,
    pub(crate) files: Vec<FileEntry>,
    windows: Vec<WindowEntry>,
}

/// A sealed Parquet file, `tables/TABLE/HOUR-ID.parquet`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileEntry {
    pub(crate) id: u64,
    /// Hours since 1970 of its first row.
    pub(crate) hour: i64,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// Bytes of its rows in memory, by which merging is bounded.
    pub(crate) memory: u64,
    /// Times of its earliest and latest row, nanoseconds since 1970.
    pub(crate) first: i64,
    pub(crate) last: i64,
    /// Checksum of the whole file.
    pub(crate) crc32c: u32,
    /// Of what comes behind the rows; none in files of versions that did not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tail: Option<TailEntry>,
}

/// Page index and footer of a sealed file: everything from `offset` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TailEntry {
    pub(crate) offset: u64,
    pub(crate) crc32c: u32,
}

/// A [`BatchWindow`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct WindowEntry {
    /// Hex.
    source: String,
    epoch: u64,
    highest: u64,
    /// The words, 16 hex digits each.
    bits: String,
}

/// Why a manifest does not open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    #[error("format {0} is newer than this program")]
    Newer(u32),
    #[error("{0}")]
    Damaged(String),
}

impl Manifest {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let json = serde_json::to_vec(self)?;
        let crc = crc32c::crc32c(&json);
        let mut bytes = format!("{MAGIC} {VERSION} crc32c={crc:08x} bytes={}\n", json.len()).into_bytes();
        bytes.extend_from_slice(&json);
        Ok(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        let damaged = |what: &str| ManifestError::Damaged(what.to_owned());
        let end = bytes.iter().take(128).position(|&byte| byte == b'\n').ok_or_else(|| damaged("no first line"))?;
        let line = std::str::from_utf8(&bytes[..end]).map_err(|_| damaged("the first line is no text"))?;
        let mut words = line.split(' ');
        if words.next() != Some(MAGIC) {
            return Err(damaged("the first line is not that of a manifest"));
        }
        let version: Option<u32> = words.next().and_then(|word| word.parse().ok());
        match version {
            Some(VERSION) => {}
            Some(newer) if newer > VERSION => return Err(ManifestError::Newer(newer)),
            _ => return Err(damaged("the first line has no version")),
        }
        let json = &bytes[end + 1..];
        let expected = format!("crc32c={:08x} bytes={}", crc32c::crc32c(json), json.len());
        if words.collect::<Vec<_>>().join(" ") != expected {
            return Err(damaged("the checksum does not fit"));
        }
        serde_json::from_slice(json).map_err(|error| ManifestError::Damaged(error.to_string()))
    }
}

impl TableEntry {
    pub(crate) fn new(table: &TableDefinition) -> Self {
        Self { schema: schema_to_hex(table), kept_from: None, files: Vec::new(), windows: Vec::new() }
    }

    pub(crate) fn set_definition(&mut self, table: &TableDefinition) {
        self.schema = schema_to_hex(table);
    }

    pub(crate) fn definition(&self) -> Result<TableDefinition, ManifestError> {
        let damaged = |error: &dyn std::fmt::Display| ManifestError::Damaged(format!("schema: {error}"));
        let bytes = from_hex(&self.schema).ok_or_else(|| damaged(&"not hex"))?;
        let schema = try_schema_from_flatbuffer_bytes(&bytes).map_err(|error| damaged(&error))?;
        TableDefinition::from_schema(&schema).map_err(|error| damaged(&error))
    }

    pub(crate) fn kept_from(&self) -> Option<Timestamp> {
        self.kept_from.map(Timestamp::from_nanos)
    }

    pub(crate) fn set_windows(&mut self, windows: &BatchWindows) {
        let entry = |(source, epoch, window): (u128, u64, &BatchWindow)| WindowEntry {
            source: format!("{source:x}"),
            epoch,
            highest: window.highest(),
            bits: window.bits().iter().fold(String::new(), |mut hex, word| {
                let _ = write!(hex, "{word:016x}");
                hex
            }),
        };
        self.windows = windows.iter().map(entry).collect();
    }

    pub(crate) fn windows(&self, limits: DedupLimits) -> Result<BatchWindows, ManifestError> {
        let mut windows = BatchWindows::new(limits);
        for entry in &self.windows {
            let words = entry.bits.as_bytes().chunks(16).map(|word| {
                let text = std::str::from_utf8(word).ok()?;
                (word.len() == 16).then(|| u64::from_str_radix(text, 16).ok())?
            });
            let window =
                words.collect::<Option<Vec<u64>>>().and_then(|bits| BatchWindow::from_parts(entry.highest, bits));
            let source = u128::from_str_radix(&entry.source, 16).ok();
            let (Some(window), Some(source)) = (window, source) else {
                return Err(ManifestError::Damaged("a window of batch ids is no number".to_owned()));
            };
            windows.restore(source, entry.epoch, window);
        }
        Ok(windows)
    }
}

impl FileEntry {
    /// The file's name in its table's directory.
    pub(crate) fn name(&self) -> String {
        format!("{}-{}.parquet", self.hour, self.id)
    }

    /// Hour and id of a finished file, from its name.
    pub(crate) fn parse_name(name: &str) -> Option<(i64, u64)> {
        let (hour, id) = name.strip_suffix(".parquet")?.rsplit_once('-')?;
        Some((hour.parse().ok()?, id.parse().ok()?))
    }

    /// Where the files of a table lie, below the store.
    pub(crate) fn folder(table: &TableName) -> String {
        format!("tables/{table}")
    }
}

fn schema_to_hex(table: &TableDefinition) -> String {
    let mut tracker = DictionaryTracker::new(true);
    let message = IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(
        table.schema(),
        &mut tracker,
        &IpcWriteOptions::default(),
    );
    message.ipc_message.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect()
}
