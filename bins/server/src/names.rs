use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, bail};
use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampNanosecondType, UInt16Type, UInt32Type};
use arrow_array::{ArrayRef, PrimitiveArray, RecordBatch, StringArray, UInt16Array, UInt32Array};
use futures::TryStreamExt;
use metaflow_protocol::tables::DICTIONARY;
use storage_api::{AppendError, BatchId, IngestBatch, ScanRequest, Storage, TableDefinition, Timestamp};
use tag_encoder::{Additions, Block, DictionaryStats, NameId, SharedDictionary, Writers};
use tokio::sync::Mutex;

/// The number under which this server gives out integers. One server writes into a store so far.
pub(crate) const WRITER: u16 = 1;
/// Under which sender the store remembers batches of names: no agent has this id.
const SOURCE: u128 = u128::from_be_bytes(*b"metaflow names\0\x01");

/// The names that this server knows, kept in the table `dictionary`. A name is in the store before anything uses its integer.
#[derive(Debug)]
pub(crate) struct Names {
    dictionary: Arc<SharedDictionary>,
    storage: Arc<dyn Storage>,
    table: TableDefinition,
    epoch: u64,
    writing: Mutex<Writing>,
}

#[derive(Debug, Default)]
struct Writing {
    sequence: u64,
    /// What was sent to the store without its answer having been seen: sent again, unchanged, before anything else, since its
    /// integers may be taken.
    pending: Option<(Additions, IngestBatch)>,
}

impl Names {
    /// Reads what is stored. `epoch` is this life of the server.
    pub(crate) async fn load(storage: Arc<dyn Storage>, epoch: u64) -> anyhow::Result<Self> {
        let definition = DICTIONARY.definition()?;
        let table = storage.create_table(&definition).await?;
        let dictionary = Arc::new(SharedDictionary::default());
        let request = ScanRequest::new(table.name().clone()).columns(["writer", "dictionary", "id", "name"]);
        let mut rows = storage.scan(request).await?;
        let mut names: BTreeMap<String, BTreeMap<u32, String>> = BTreeMap::new();
        while let Some(batch) = rows.try_next().await? {
            collect(&batch, &mut names)?;
        }
        for (domain, names) in names {
            // Ids are dense; a gap is found by the dictionary.
            let first_id = names.keys().next().copied().unwrap_or(1);
            for (place, id) in names.keys().enumerate() {
                if usize::try_from(*id) != Ok(place + first_id as usize) {
                    bail!("the stored names of {domain} have a gap before id {id}");
                }
            }
            let block = Block { domain: domain.into(), first_id, names: names.into_values().collect() };
            dictionary.apply_block(&block).context("the stored names contradict each other")?;
        }
        Ok(Self { dictionary, storage, table, epoch, writing: Mutex::default() })
    }

    /// For queries.
    pub(crate) fn writers(&self) -> Writers {
        Writers::new([(WRITER, Arc::clone(&self.dictionary))])
    }

    pub(crate) fn stats(&self) -> DictionaryStats {
        self.dictionary.stats()
    }

    pub(crate) fn table(&self) -> &TableDefinition {
        &self.table
    }

    /// The ids of some names of a dictionary, in their order; [`NameId::OVERFLOW`] for those that found no place. Ask for them with
    /// [`Names::ensure`] before.
    pub(crate) fn ids<'a>(&self, domain: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<NameId> {
        let found = self.dictionary.find_all(domain, names);
        found.into_iter().map(|id| id.unwrap_or(NameId::OVERFLOW)).collect()
    }

    /// Gives each (dictionary, name) an id that is durable, as far as the bounds allow. Names that are known already cost one
    /// look-up.
    pub(crate) async fn ensure(&self, wanted: &[(&str, Vec<&str>)], now: Timestamp) -> Result<(), AppendError> {
        if self.missing(wanted).is_empty() {
            return Ok(());
        }
        let mut writing = self.writing.lock().await;
        if writing.pending.is_some() {
            self.write(&mut writing).await?;
        }
        // Somebody else may have written them meanwhile.
        let missing = self.missing(wanted);
        let additions = self.dictionary.plan(missing);
        if additions.is_empty() {
            self.dictionary.count_overflow(additions.overflowed);
            return Ok(());
        }
        let batch = rows(&additions, &self.table, now).map_err(storage_api::BackendError::from)?;
        let id = BatchId { source: SOURCE, epoch: self.epoch, sequence: writing.sequence };
        writing.sequence += 1;
        writing.pending = Some((additions, IngestBatch::new(id, batch)));
        self.write(&mut writing).await
    }

    /// Writes what is pending, then makes it known. If this future is dropped half-way, it stays pending.
    async fn write(&self, writing: &mut Writing) -> Result<(), AppendError> {
        if let Some((_, batch)) = &writing.pending {
            self.storage.append(self.table.name(), batch.clone()).await?;
        }
        if let Some((additions, _)) = writing.pending.take()
            && let Err(error) = self.dictionary.apply(&additions)
        {
            // Planned under the same lock on the same dictionary.
            tracing::error!(%error, "names contradict each other");
        }
        Ok(())
    }

    fn missing<'a>(&self, wanted: &[(&'a str, Vec<&'a str>)]) -> Vec<(&'a str, &'a str)> {
        let mut missing = Vec::new();
        for (domain, names) in wanted {
            let found = self.dictionary.find_all(domain, names.iter().copied());
            missing.extend(names.iter().zip(found).filter(|(_, id)| id.is_none()).map(|(name, _)| (*domain, *name)));
        }
        missing
    }
}

fn collect(batch: &RecordBatch, names: &mut BTreeMap<String, BTreeMap<u32, String>>) -> anyhow::Result<()> {
    let columns = (
        batch.column(0).as_primitive_opt::<UInt16Type>(),
        batch.column(1).as_string_opt::<i32>(),
        batch.column(2).as_primitive_opt::<UInt32Type>(),
        batch.column(3).as_string_opt::<i32>(),
    );
    let (Some(writers), Some(domains), Some(ids), Some(texts)) = columns else {
        bail!("the stored names have other types than written");
    };
    for row in (0..batch.num_rows()).filter(|row| writers.value(*row) == WRITER) {
        let (id, text) = (ids.value(row), texts.value(row));
        if !names.contains_key(domains.value(row)) {
            names.insert(domains.value(row).to_owned(), BTreeMap::new());
        }
        if let Some(domain) = names.get_mut(domains.value(row))
            && let Some(other) = domain.insert(id, text.to_owned())
            && other != text
        {
            bail!("id {id} of {} stands for two names", domains.value(row));
        }
    }
    Ok(())
}

fn rows(
    additions: &Additions,
    table: &TableDefinition,
    now: Timestamp,
) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let entries = additions.blocks.iter().flat_map(|block| {
        (block.first_id..).zip(&block.names).map(move |(id, name)| (&*block.domain, id, name.as_str()))
    });
    let entries: Vec<_> = entries.collect();
    let count = entries.len();
    let times = PrimitiveArray::<TimestampNanosecondType>::from_value(now.as_nanos(), count).with_timezone("+00:00");
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("time", Arc::new(times)),
        ("dictionary", Arc::new(StringArray::from_iter_values(entries.iter().map(|(domain, ..)| domain)))),
        ("id", Arc::new(UInt32Array::from_iter_values(entries.iter().map(|(_, id, _)| *id)))),
        ("name", Arc::new(StringArray::from_iter_values(entries.iter().map(|(.., name)| name)))),
        ("writer", Arc::new(UInt16Array::from_value(WRITER, count))),
    ];
    let fields: Vec<_> =
        columns.iter().map(|(name, _)| table.schema().field_with_name(name).cloned()).collect::<Result<_, _>>()?;
    let schema = Arc::new(arrow_schema::Schema::new(fields));
    RecordBatch::try_new(schema, columns.into_iter().map(|(_, array)| array).collect())
}
