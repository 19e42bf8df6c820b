use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use storage_api::{ColumnDefinition, ColumnKind, DefinitionError, TableDefinition, Timestamp};

/// A standard table: written once here; the schema on the wire, the stored table and the columns of SQL follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// Name in SQL, on the wire and in the store.
    pub name: &'static str,
    /// Version of the schema on the wire. A newer one only adds nullable columns at the end.
    pub version: u32,
    /// What one row is.
    pub description: &'static str,
    /// Columns by which rows are best sorted, most significant first.
    pub sort: &'static [&'static str],
    /// Columns in their order on the wire.
    pub columns: &'static [Column],
}

/// One column of a standard table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Name in SQL, on the wire and in the store.
    pub name: &'static str,
    /// What its values are.
    pub values: Values,
    /// Whether a row may have none.
    pub nullable: bool,
    /// `ns`, `By`, a counted noun, or empty.
    pub unit: &'static str,
    /// For readers of `information_schema` and of the documentation.
    pub description: &'static str,
    /// The first version of the table's schema that has it.
    pub since: u32,
}

/// What the values of a column are: gives the Arrow type on the wire, the stored type and the stored kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// Nanoseconds since the Unix epoch.
    Time,
    /// A length of time in nanoseconds.
    Nanos,
    /// An instant that is not the row's own time, in nanoseconds since the Unix epoch.
    Instant,
    /// A count or size.
    U64,
    /// A small number, such as a process id or a sequence number.
    U32,
    /// A port or a piece number.
    U16,
    /// A measured value.
    F64,
    /// Yes or no.
    Flag,
    /// Text that repeats: a dictionary on the wire, an integer in the store. The dictionary's name.
    Name(&'static str),
    /// Text that seldom repeats.
    Text,
    /// Bytes; of 8 or 16 bytes: an identifier that reads as lower-case hexadecimal.
    Bytes,
    /// An internet address of 16 bytes, IPv4 mapped into IPv6 (RFC 4291 §2.5.5.2).
    Address,
    /// Texts.
    TextList,
    /// Numbers below 65,536.
    U16List,
    /// Bucket numbers of a histogram of durations, ascending. Bucket `b` holds `(2^((b-1)/8), 2^(b/8)]` seconds, as in a
    /// Prometheus native histogram of schema 3.
    Buckets,
    /// Counts in the buckets at the same places.
    Counts,
    /// Free attributes; their keys repeat and are integers in the store. The dictionary of the keys.
    Attributes(&'static str),
    /// Texts that found no integer, by column.
    Overflow,
    /// The number of the server that gave out the row's integers.
    Writer,
}

impl Column {
    /// The Arrow type on the wire.
    #[must_use]
    pub fn wire_type(&self) -> DataType {
        match self.values {
            Values::Name(_) => name_type(),
            Values::Attributes(_) => map_type(name_type()),
            _ => self.stored_type(),
        }
    }

    /// The Arrow type in the store.
    #[must_use]
    pub fn stored_type(&self) -> DataType {
        let list = |element: DataType| DataType::List(Arc::new(Field::new("item", element, false)));
        match self.values {
            Values::Time => Timestamp::data_type(),
            Values::Nanos | Values::Instant => DataType::Int64,
            Values::U64 => DataType::UInt64,
            Values::U32 | Values::Name(_) => DataType::UInt32,
            Values::U16 | Values::Writer => DataType::UInt16,
            Values::F64 => DataType::Float64,
            Values::Flag => DataType::Boolean,
            Values::Text => DataType::Utf8,
            Values::Bytes => DataType::Binary,
            Values::Address => DataType::FixedSizeBinary(16),
            Values::TextList => list(DataType::Utf8),
            Values::U16List => list(DataType::UInt16),
            Values::Buckets => list(DataType::Int16),
            Values::Counts => list(DataType::UInt32),
            Values::Attributes(_) => map_type(DataType::UInt32),
            Values::Overflow => map_type(DataType::Utf8),
        }
    }

    /// The kind in the store.
    #[must_use]
    pub fn kind(&self) -> ColumnKind {
        match self.values {
            Values::Time => ColumnKind::Time,
            Values::Nanos => ColumnKind::Duration,
            Values::U64 | Values::U32 | Values::U16 | Values::F64 | Values::Instant => ColumnKind::Number,
            Values::Flag => ColumnKind::Flag,
            Values::Name(dictionary) | Values::Attributes(dictionary) => ColumnKind::id(dictionary),
            Values::Text => ColumnKind::Text,
            Values::Bytes => ColumnKind::Binary,
            Values::Address => ColumnKind::Address,
            Values::TextList | Values::U16List | Values::Buckets | Values::Counts => ColumnKind::List,
            Values::Overflow => ColumnKind::Map,
            Values::Writer => ColumnKind::Writer,
        }
    }

    const fn new(name: &'static str, values: Values, unit: &'static str, description: &'static str) -> Self {
        Self { name, values, nullable: true, unit, description, since: 1 }
    }

    /// The same column, which older versions do not have.
    pub(crate) const fn since(mut self, version: u32) -> Self {
        self.since = version;
        self
    }

    /// The same column, never null.
    pub(crate) const fn required(mut self) -> Self {
        self.nullable = false;
        self
    }
}

impl Table {
    /// The Arrow schema of this table's batches on the wire.
    #[must_use]
    pub fn wire_schema(&self) -> SchemaRef {
        self.wire_schema_of(self.version)
    }

    /// The same of an older version: a beginning of it.
    #[must_use]
    pub fn wire_schema_of(&self, version: u32) -> SchemaRef {
        let columns = self.columns.iter().filter(|column| column.since <= version);
        let fields = columns.map(|column| Field::new(column.name, column.wire_type(), column.nullable));
        Arc::new(Schema::new(fields.collect::<Fields>()))
    }

    /// The table as a store creates it: the columns of the wire, names as integers, then what the server adds.
    ///
    /// # Errors
    /// Never for a standard table.
    pub fn definition(&self) -> Result<TableDefinition, DefinitionError> {
        let mut builder =
            TableDefinition::builder(self.name).describe(self.description).sort_by(self.sort.iter().copied());
        for column in self.stored_columns() {
            let description = match column.unit {
                "" => column.description.to_owned(),
                unit => format!("{} [{unit}]", column.description),
            };
            if column.values == Values::Time {
                builder = builder.time(column.name, &description);
                continue;
            }
            let mut definition = ColumnDefinition::new(column.name, column.kind(), column.stored_type());
            definition.description = description;
            definition.nullable = column.nullable;
            builder = builder.column(definition);
        }
        builder.build()
    }

    /// The columns of the wire, then those that the server adds.
    pub fn stored_columns(&self) -> impl Iterator<Item = Column> {
        self.columns.iter().chain(crate::tables::ADDED_BY_SERVER).copied()
    }
}

fn name_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8))
}

fn map_type(key: DataType) -> DataType {
    let entry = [Field::new("keys", key, false), Field::new("values", DataType::Utf8, true)];
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entry.into_iter().collect()), false)), false)
}

macro_rules! columns {
    ($($function:ident => $values:expr),* $(,)?) => {$(
        pub(crate) const fn $function(name: &'static str, unit: &'static str, description: &'static str) -> Column {
            Column::new(name, $values, unit, description)
        }
    )*};
}
columns!(
    time => Values::Time, nanos => Values::Nanos, instant => Values::Instant, number64 => Values::U64, number32 => Values::U32, number16 => Values::U16,
    float64 => Values::F64, flag => Values::Flag, text => Values::Text, bytes => Values::Bytes, address => Values::Address,
    texts => Values::TextList, numbers16 => Values::U16List, buckets => Values::Buckets, counts => Values::Counts,
    overflow => Values::Overflow, writer => Values::Writer,
);

/// A name of the dictionary that is called as the column.
pub(crate) const fn name(name: &'static str, description: &'static str) -> Column {
    Column::new(name, Values::Name(name), "", description)
}

/// Free attributes.
pub(crate) const fn attributes(name: &'static str, description: &'static str) -> Column {
    Column::new(name, Values::Attributes("attribute"), "", description)
}
