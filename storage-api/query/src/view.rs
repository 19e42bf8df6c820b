use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use storage_api::{ColumnDefinition, ColumnKind, TableDefinition};

/// A stored table as its users see it: names instead of integers, addresses as text, and a few columns that are put together from
/// others.
#[derive(Debug)]
pub(crate) struct TableView {
    pub(crate) definition: TableDefinition,
    /// What users see.
    pub(crate) schema: SchemaRef,
    /// How each column of `schema` is made.
    pub(crate) sources: Vec<Source>,
    /// Where the number of the row's writer stands.
    pub(crate) writer: Option<usize>,
    /// Where texts stand that found no integer.
    pub(crate) overflow: Option<usize>,
}

/// How a column is made from stored columns, which are given by their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// As it is stored.
    Stored(usize),
    /// The names of ids.
    Names { ids: usize, dictionary: Arc<str> },
    /// A map whose keys are ids.
    NamedKeys { map: usize, dictionary: Arc<str> },
    /// Identifiers of bytes, as text.
    Identifier(usize),
    /// An address as text, with its port if it has one.
    Address { address: usize, port: Option<usize>, unix: Option<UnixColumns> },
    /// A time as nanoseconds.
    Nanoseconds(usize),
}

/// What tells of an address whether it is a Unix socket's, and of which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnixColumns {
    /// Ids of the dictionary [`TRANSPORT`].
    pub(crate) transport: usize,
    pub(crate) path: usize,
}

/// The dictionary, and the column, in which [`UNIX`] says that an address is the inode of a Unix socket.
pub(crate) const TRANSPORT: &str = "transport";
pub(crate) const UNIX: &str = "unix";
/// Texts that found no integer: the column of this name maps a column's name to the text.
pub(crate) const OVERFLOW_COLUMN: &str = "overflow";
/// An attribute whose key found no integer stands in the overflow column under this prefix and its key.
pub(crate) const OVERFLOWED_ATTRIBUTE: &str = "attributes.";

impl TableView {
    pub(crate) fn new(definition: TableDefinition) -> Self {
        let columns: Vec<_> = definition.columns().collect();
        let place = |name: &str| columns.iter().position(|column| column.name == name);
        let mut made: Vec<(Field, Source)> = Vec::new();
        let mut stored = Vec::new();
        for (index, column) in columns.iter().enumerate() {
            if column.name == OVERFLOW_COLUMN && column.kind == ColumnKind::Map {
                continue;
            }
            let (data_type, source) = seen(index, column);
            let field = Field::new(&column.name, data_type, column.nullable)
                .with_metadata(definition.schema().field(index).metadata().clone());
            stored.push((field, source));
            // `client_address` and `client_port` also read as `client`.
            let side = column.name.strip_suffix("_address").filter(|_| column.kind == ColumnKind::Address);
            if let Some(side) = side.filter(|side| place(side).is_none()) {
                let port = place(&format!("{side}_port"));
                let unix = place(TRANSPORT).zip(place(&format!("{side}_path")));
                let unix = unix.map(|(transport, path)| UnixColumns { transport, path });
                let source = Source::Address { address: index, port, unix };
                made.push((Field::new(side, text_type(), column.nullable), source));
            }
        }
        let time = definition.time_index();
        let time_name = definition.time_column();
        let mut all: Vec<(Field, Source)> = Vec::new();
        let (first, rest): (Vec<_>, Vec<_>) =
            stored.into_iter().partition(|(_, source)| *source == Source::Stored(time));
        all.extend(first);
        all.extend(made);
        all.extend(rest);
        if time_name == "time" && place("start_ns").is_none() {
            all.push((Field::new("start_ns", DataType::Int64, false), Source::Nanoseconds(time)));
        }
        let writer = columns.iter().position(|column| column.kind == ColumnKind::Writer);
        let overflow =
            columns.iter().position(|column| column.name == OVERFLOW_COLUMN && column.kind == ColumnKind::Map);
        let (fields, sources): (Vec<Field>, Vec<Source>) = all.into_iter().unzip();
        let schema = Schema::new_with_metadata(fields, definition.schema().metadata().clone());
        Self { schema: Arc::new(schema), sources, writer, overflow, definition }
    }

    /// The stored columns that these seen columns are made of, ascending.
    pub(crate) fn stored_columns(&self, seen: &[usize]) -> Vec<usize> {
        let mut stored = Vec::new();
        for source in seen.iter().filter_map(|index| self.sources.get(*index)) {
            match source {
                Source::Stored(index) | Source::Identifier(index) | Source::Nanoseconds(index) => stored.push(*index),
                Source::Names { ids: index, .. } | Source::NamedKeys { map: index, .. } => {
                    stored.push(*index);
                    stored.extend(self.writer);
                    stored.extend(self.overflow);
                }
                Source::Address { address, port, unix } => {
                    stored.push(*address);
                    stored.extend(*port);
                    if let Some(UnixColumns { transport, path }) = unix {
                        stored.extend([*transport, *path]);
                        stored.extend(self.writer);
                    }
                }
            }
        }
        stored.sort_unstable();
        stored.dedup();
        stored
    }

    /// How the seen column of this name is made.
    pub(crate) fn source(&self, name: &str) -> Option<&Source> {
        self.sources.get(self.schema.index_of(name).ok()?)
    }

    /// The stored column at this place.
    pub(crate) fn stored(&self, index: usize) -> &Field {
        self.definition.schema().field(index)
    }
}

/// Text that repeats: each distinct value of a batch is made once.
pub(crate) fn text_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8))
}

fn seen(index: usize, column: &ColumnDefinition) -> (DataType, Source) {
    match (&column.kind, &column.data_type) {
        (ColumnKind::Id { dictionary }, DataType::UInt32) => {
            (text_type(), Source::Names { ids: index, dictionary: Arc::from(dictionary.as_str()) })
        }
        (ColumnKind::Id { dictionary }, DataType::Map(..)) => {
            (named_map(), Source::NamedKeys { map: index, dictionary: Arc::from(dictionary.as_str()) })
        }
        (ColumnKind::Binary, DataType::Binary) => (DataType::Utf8, Source::Identifier(index)),
        (ColumnKind::Address, _) => (text_type(), Source::Address { address: index, port: None, unix: None }),
        (_, data_type) => (data_type.clone(), Source::Stored(index)),
    }
}

pub(crate) fn named_map() -> DataType {
    let entry: Fields =
        [Field::new("keys", DataType::Utf8, false), Field::new("values", DataType::Utf8, true)].into_iter().collect();
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entry), false)), false)
}
