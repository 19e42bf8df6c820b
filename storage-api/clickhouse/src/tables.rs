//! Tables as they stand on the server: made, grown, found again.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, Schema};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use storage_api::{BackendError, CreateTableError, Durability, TableDefinition, TableName};

use crate::server::Server;
use crate::sql::{Name, Text};
use crate::{Features, Options, RequestError, probe, types};

/// What stands before the definition in the comment of a table: an Arrow IPC stream without rows, in Base64.
const MARK: &str = "metaflow:1:";
/// How often a table is looked at again when another process changes it at the same time.
const ROUNDS: usize = 5;

/// Definitions as they were last seen.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    known: RwLock<HashMap<TableName, TableDefinition>>,
    /// Held while a table is made or grown, so that those of one process do not undo each other.
    changing: tokio::sync::Mutex<()>,
}

/// Where the rows of a table lie: in a cluster, in a table of each shard behind the one that is asked.
pub(crate) fn local(table: &TableName, server: &Server) -> String {
    match server.shards {
        Some(_) => format!("{table}_LOCAL"),
        None => table.to_string(),
    }
}

impl Tables {
    /// The definition, if it has been seen.
    pub(crate) fn known(&self, table: &TableName) -> Option<TableDefinition> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(table).cloned()
    }

    /// Forgets what was seen of a table.
    pub(crate) fn forget(&self, table: &TableName) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).remove(table);
    }

    fn remember(&self, definition: &TableDefinition) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(definition.name().clone(), definition.clone());
    }

    /// The definition as the server has it now; none if there is no such table of this store.
    pub(crate) async fn look(
        &self,
        server: &Server,
        table: &TableName,
    ) -> Result<Option<TableDefinition>, RequestError> {
        let names = (Text(server.address.database.as_bytes()), Text(table.as_str().as_bytes()));
        let statement =
            format!("SELECT comment FROM system.tables WHERE database = {} AND name = {}", names.0, names.1);
        let place = server.place();
        let definition =
            server.lines(statement).await?.first().map(|comment| definition(comment, &place)).transpose()?;
        match &definition {
            Some(definition) => self.remember(definition),
            None => self.forget(table),
        }
        Ok(definition)
    }

    /// Makes or grows a table until the server has it as it was asked for.
    pub(crate) async fn create(
        &self,
        server: &Server,
        wanted: &TableDefinition,
        options: &Options,
    ) -> Result<TableDefinition, CreateTableError> {
        let _changing = self.changing.lock().await;
        let failed = |error: RequestError| CreateTableError::Backend(error.into());
        let mut stored = self.look(server, wanted.name()).await.map_err(failed)?;
        for _ in 0..ROUNDS {
            let grown = match &stored {
                Some(stored) => stored.grown_by(wanted)?,
                None => wanted.clone(),
            };
            if stored.as_ref() == Some(&grown) && (server.shards.is_none() || server.features.has(Features::ON_CLUSTER))
            {
                return Ok(grown);
            }
            make(server, &grown, options).await?;
            grow(server, &grown, stored.as_ref()).await?;
            stored = self.look(server, wanted.name()).await.map_err(failed)?;
            if stored.as_ref() == Some(&grown) {
                return Ok(grown);
            }
        }
        Err(CreateTableError::Backend(BackendError::retryable("another process changes the table at the same time")))
    }
}

/// Makes the table where it is not there.
async fn make(server: &Server, table: &TableDefinition, options: &Options) -> Result<(), CreateTableError> {
    let failed = |error: RequestError| CreateTableError::Backend(error.into());
    let comment = comment(table).map_err(|error| CreateTableError::Backend(error.into()))?;
    let columns = types::declarations(table, server.features)?.join(",\n");
    let name = local(table.name(), server);
    let window = options.limits.insert_window;
    let replicated = server.features.has(Features::REPLICATION);
    let engine = match replicated {
        true => format!(
            "ReplicatedMergeTree('/clickhouse/tables/{{shard}}/{}/{name}', '{{replica}}')",
            server.address.database
        ),
        false => "MergeTree".to_owned(),
    };
    let mut settings = "index_granularity = 8192, allow_nullable_key = 1".to_owned();
    if server.features.has(Features::TOKENS) {
        settings += &match replicated {
            // Of time, the window is the longest that a sender may take to send again.
            true => format!(
                ", replicated_deduplication_window = {window}, replicated_deduplication_window_seconds = 604800"
            ),
            false => format!(", non_replicated_deduplication_window = {window}"),
        };
    }
    if server.features.has(Features::FSYNC) && server.address.durability == Durability::Disk {
        settings += probe::WRITING_THROUGH;
    }
    let behind = format!(
        "(\n{columns}\n) ENGINE = {engine} PARTITION BY (FIRST_DAY, LAST_DAY) ORDER BY ({}) SETTINGS {settings} \
         COMMENT {comment}",
        types::order(table)
    );
    server.change_all(&format!("CREATE TABLE IF NOT EXISTS {}", Name(&name)), &behind).await.map_err(failed)?;
    if let Some(cluster) = &server.address.cluster {
        let columns = types::declarations(table, server.features.of_types())?.join(",\n");
        let (cluster, database) = (Text(cluster.as_bytes()), Text(server.address.database.as_bytes()));
        let behind = format!("(\n{columns}\n) ENGINE = Distributed({cluster}, {database}, '{name}') COMMENT {comment}");
        let before = format!("CREATE TABLE IF NOT EXISTS {}", Name(table.name().as_str()));
        server.change_all(&before, &behind).await.map_err(failed)?;
    }
    Ok(())
}

/// Adds what is new since `stored`.
async fn grow(
    server: &Server,
    table: &TableDefinition,
    stored: Option<&TableDefinition>,
) -> Result<(), CreateTableError> {
    // Nothing is new to a table just made; but a cluster may hold it elsewhere in an older form.
    let from = match (stored, server.shards) {
        (None, None) => return Ok(()),
        (Some(stored), None) => stored.schema().fields().len(),
        (_, Some(_)) => 0,
    };
    let comment = comment(table).map_err(|error| CreateTableError::Backend(error.into()))?;
    let mut names = vec![(local(table.name(), server), server.features)];
    if server.shards.is_some() {
        names.push((table.name().to_string(), server.features.of_types()));
    }
    for (name, features) in names {
        let mut changes = types::additions(table, from, features)?;
        changes.push(format!("MODIFY COMMENT {comment}"));
        let altered = server.change_all(&format!("ALTER TABLE {}", Name(&name)), &changes.join(", ")).await;
        altered.map_err(|error| CreateTableError::Backend(error.into()))?;
    }
    Ok(())
}

/// The comment as a literal: what people read, then what this store reads.
fn comment(table: &TableDefinition) -> Result<String, ArrowError> {
    let mut bytes = Vec::new();
    StreamWriter::try_new(&mut bytes, table.schema())?.finish()?;
    let text = format!("{}\n{MARK}{}", table.description(), STANDARD.encode(bytes));
    Ok(Text(text.as_bytes()).to_string())
}

/// Reads a comment back, as it stands in the format TabSeparated.
fn definition(comment: &str, host: &str) -> Result<TableDefinition, RequestError> {
    let wrong = |reason: String| RequestError::Nonsense {
        host: host.to_owned(),
        reason: format!("a table of this name was not made by this store: {reason}"),
    };
    let (_, encoded) = comment.rsplit_once(MARK).ok_or_else(|| wrong("no definition in its comment".to_owned()))?;
    let bytes = STANDARD.decode(encoded.trim_end()).map_err(|error| wrong(error.to_string()))?;
    let schema = schema(bytes).map_err(|error| wrong(error.to_string()))?;
    TableDefinition::from_schema(&schema).map_err(|error| wrong(error.to_string()))
}

fn schema(bytes: Vec<u8>) -> Result<Schema, ArrowError> {
    let mut decoder = StreamDecoder::new();
    decoder.decode(&mut Buffer::from(bytes))?;
    let schema = decoder.schema().ok_or_else(|| ArrowError::IpcError("no schema".to_owned()))?;
    Ok(schema.as_ref().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> TableDefinition {
        let start = TableDefinition::builder("calls").describe("one request with its answer");
        start.time("time", "when").id("endpoint", "endpoint", "what").address("client", "who").build().unwrap()
    }

    #[test]
    fn a_comment_of_form_1_is_read_for_ever() {
        let golden = include_str!("../testdata/comment-1.txt");
        let (_, comment) = golden.split_once('\n').unwrap();
        assert_eq!(definition(comment, "").unwrap(), table());
    }

    #[test]
    fn what_is_no_comment_of_ours_is_an_error() {
        for other in ["", "a table", "metaflow:1:", "metaflow:1:%%%", "metaflow:1:AAAA", "metaflow:2:AAAA"] {
            assert!(definition(other, "h").is_err(), "{other}");
        }
    }

    #[test]
    fn a_comment_reads_back() {
        let literal = comment(&table()).unwrap();
        let text = literal.trim_matches('\'').replace("\\x0a", "\\n");
        assert_eq!(definition(&text, "").unwrap(), table());
        if std::env::var_os("METAFLOW_BLESS").is_some() {
            let why = "The comment of a table in form 1, as the format TabSeparated shows it: such tables stay readable for ever.";
            std::fs::write("testdata/comment-1.txt", format!("{why}\n{text}\n")).unwrap();
        }
    }
}
