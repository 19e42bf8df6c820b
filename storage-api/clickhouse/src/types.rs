//! What the columns of a table are in ClickHouse.

use arrow_schema::{DataType, Field};
use storage_api::{ColumnDefinition, ColumnKind, CreateTableError, TableDefinition};

use crate::Features;
use crate::sql::{Name, Text};

/// A list or map cannot be NULL in ClickHouse: whether it is stands in a column of its own, with this behind the name.
/// Names of tables and columns are lower-case, so that nothing in upper-case letters meets them.
pub(crate) const NULL_SUFFIX: &str = "_NULL";

/// The columns of every table beside its own: days (YYYYMMDD, in UTC) of the first and the last row of the batch, by which
/// the table is partitioned, and in one row of each batch the batch's id.
pub(crate) const OWN_COLUMNS: [&str; 3] = ["FIRST_DAY", "LAST_DAY", "BATCH"];

/// A list or a map.
pub(crate) fn is_nested(data_type: &DataType) -> bool {
    matches!(data_type, DataType::List(_) | DataType::Map(..))
}

/// Every column with its type and codec, and the indexes, as in `CREATE TABLE`.
pub(crate) fn declarations(table: &TableDefinition, features: Features) -> Result<Vec<String>, CreateTableError> {
    let mut parts = Vec::new();
    for column in table.columns() {
        parts.extend(column_declarations(&column, features)?);
    }
    let (days, id) = (codec(&DataType::Int32, features), codec(&DataType::Binary, features));
    parts.push(format!("FIRST_DAY Int32 COMMENT 'day of the first row of the batch, YYYYMMDD; 0 in no row'{days}"));
    parts.push(format!("LAST_DAY Int32 COMMENT 'day of the last row of the batch, YYYYMMDD; 0 in no row'{days}"));
    parts.push(format!("BATCH String COMMENT 'id of the batch, in its last row: source, epoch, sequence'{id}"));
    for column in table.columns() {
        parts.extend(index(&column, table, features));
    }
    if features.has(Features::BLOOM_FILTERS) {
        // By sender and epoch, for a look at what has come from them.
        parts.push("INDEX BATCH_BLOOM substring(BATCH, 1, 24) TYPE bloom_filter(0.01) GRANULARITY 4".to_owned());
    }
    Ok(parts)
}

/// The same of columns that a table grows by, as in `ALTER TABLE`.
pub(crate) fn additions(
    grown: &TableDefinition,
    columns: usize,
    features: Features,
) -> Result<Vec<String>, CreateTableError> {
    let mut parts = Vec::new();
    for column in grown.columns().skip(columns) {
        for part in column_declarations(&column, features)? {
            parts.push(format!("ADD COLUMN IF NOT EXISTS {part}"));
        }
        parts.extend(
            index(&column, grown, features)
                .map(|index| format!("ADD {}", index.replacen("INDEX ", "INDEX IF NOT EXISTS ", 1))),
        );
    }
    Ok(parts)
}

/// The order of rows within a part: that of the table, up to the first float, among which NaN has no place.
pub(crate) fn order(table: &TableDefinition) -> String {
    let schema = table.schema();
    let columns = table.sort_indices().iter().map(|&index| schema.field(index));
    let mut names: Vec<String> = columns
        .take_while(|field| !field.data_type().is_floating())
        .map(|field| Name(field.name()).to_string())
        .collect();
    if names.is_empty() {
        names.push(Name(table.time_column()).to_string());
    }
    names.join(", ")
}

fn column_declarations(column: &ColumnDefinition, features: Features) -> Result<Vec<String>, CreateTableError> {
    let unsupported =
        || CreateTableError::UnsupportedType { column: column.name.clone(), data_type: column.data_type.clone() };
    let data_type = type_of(&column.data_type, column.nullable, &column.kind, features).ok_or_else(unsupported)?;
    let (name, comment) = (Name(&column.name), Text(column.description.as_bytes()));
    let codec = codec(&column.data_type, features);
    let mut parts = vec![format!("{name} {data_type} COMMENT {comment}{codec}")];
    if column.nullable && is_nested(&column.data_type) {
        let flag = if features.has(Features::BOOL) { "Bool" } else { "UInt8" };
        let null = format!("`{}{NULL_SUFFIX}`", column.name);
        // Rows from before the column, and rows of others who do not know of this one.
        parts.push(format!("{null} {flag} DEFAULT empty({name}) COMMENT 'whether the column before is NULL'"));
    }
    Ok(parts)
}

fn type_of(data_type: &DataType, nullable: bool, kind: &ColumnKind, features: Features) -> Option<String> {
    let plain = match data_type {
        DataType::Boolean if features.has(Features::BOOL) => "Bool".to_owned(),
        DataType::Boolean => "UInt8".to_owned(),
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64
        | DataType::Float32
        | DataType::Float64 => data_type.to_string(),
        DataType::Utf8 | DataType::Binary => "String".to_owned(),
        DataType::FixedSizeBinary(16) if *kind == ColumnKind::Address && features.has(Features::IPV6) => {
            "IPv6".to_owned()
        }
        DataType::FixedSizeBinary(width) => format!("FixedString({width})"),
        DataType::Timestamp(..) if features.has(Features::DATE_TIME_64) => "DateTime64(9, 'UTC')".to_owned(),
        DataType::Timestamp(..) => "Int64".to_owned(),
        DataType::List(element) => {
            let element = type_of(element.data_type(), element.is_nullable(), kind, features)?;
            return Some(format!("Array({element})"));
        }
        DataType::Map(entries, _) => {
            let [key, value] = entry(entries)?;
            if value.is_nullable() && is_nested(value.data_type()) {
                return None;
            }
            let key = type_of(key.data_type(), false, kind, features)?;
            let value = type_of(value.data_type(), value.is_nullable(), kind, features)?;
            return Some(format!("Map({key}, {value})"));
        }
        _ => return None,
    };
    Some(if nullable { format!("Nullable({plain})") } else { plain })
}

/// The fields of key and value of a map.
pub(crate) fn entry(entries: &Field) -> Option<[&Field; 2]> {
    let DataType::Struct(fields) = entries.data_type() else { return None };
    match fields.as_ref() {
        [key, value] => Some([key, value]),
        _ => None,
    }
}

fn codec(data_type: &DataType, features: Features) -> &'static str {
    match data_type {
        _ if !features.has(Features::CODECS) => "",
        DataType::Timestamp(..) => " CODEC(Delta(8), ZSTD(1))",
        // Measured on calls: a fifth less than ZSTD alone for ports, ids of names and quantities, a third for counted numbers.
        number if number.is_integer() && number.primitive_width() > Some(1) => " CODEC(T64, ZSTD(1))",
        _ => " CODEC(ZSTD(1))",
    }
}

fn index(column: &ColumnDefinition, table: &TableDefinition, features: Features) -> Option<String> {
    let (name, is_first) =
        (&column.name, table.sort_indices().first().map(|&index| table.schema().field(index).name()));
    match column.kind {
        // Whoever looks for an id looks for one row among all.
        ColumnKind::Binary if features.has(Features::BLOOM_FILTERS) => {
            Some(format!("INDEX `{name}_BLOOM` {} TYPE bloom_filter(0.01) GRANULARITY 1", Name(name)))
        }
        ColumnKind::Time if features.has(Features::MIN_MAX) && is_first.is_some_and(|first| first != name) => {
            Some(format!("INDEX `{name}_MINMAX` {} TYPE minmax GRANULARITY 1", Name(name)))
        }
        _ => None,
    }
}
