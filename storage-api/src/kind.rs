use std::fmt;
use std::str::FromStr;

use arrow_schema::DataType;

use crate::Timestamp;

/// What the values of a column mean, beyond their Arrow type.
///
/// Written into the Arrow field's metadata (key [`ColumnKind::METADATA_KEY`]), so that whoever holds a schema can turn
/// numbers into names without knowing the table. The text form is the `Display` of this type, for example `id:endpoint`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ColumnKind {
    /// An instant: `Timestamp(Nanosecond, "+00:00")`.
    Time,
    /// A length of time in nanoseconds: any integer.
    Duration,
    /// A quantity or a plain number: any integer or float.
    Number,
    /// Yes or no: `Boolean`.
    Flag,
    /// A `UInt32` that stands for a name in the dictionary of this name. The key of a name is (writer, id), see
    /// [`ColumnKind::Writer`]. For a `List<UInt32>` each element is an id, for a `Map` each key.
    Id {
        /// Which dictionary.
        dictionary: String,
    },
    /// The number of the server that gave out the ids of the row: `UInt16`.
    Writer,
    /// Text as it is: `Utf8`.
    Text,
    /// Bytes as they are: `Binary` or `FixedSizeBinary`.
    Binary,
    /// An internet address: `FixedSizeBinary(16)`, IPv4 mapped into IPv6 (RFC 4291 §2.5.5.2).
    Address,
    /// Several values: `List` of a plain type.
    List,
    /// Keys and values: `Map` of plain types.
    Map,
}

/// Text that names no kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no kind of column")]
pub struct ParseKindError(pub String);

impl ColumnKind {
    /// Key of the kind in a field's metadata.
    pub const METADATA_KEY: &'static str = "metaflow.kind";

    /// An id of the named dictionary.
    pub fn id(dictionary: &str) -> Self {
        Self::Id { dictionary: dictionary.to_owned() }
    }

    /// Whether a column of this kind may have this Arrow type.
    pub fn fits(&self, data_type: &DataType) -> bool {
        match self {
            Self::Time => *data_type == Timestamp::data_type(),
            Self::Duration => data_type.is_integer(),
            Self::Number => is_number(data_type),
            Self::Flag => *data_type == DataType::Boolean,
            Self::Id { .. } => match data_type {
                DataType::UInt32 => true,
                DataType::List(element) => *element.data_type() == DataType::UInt32,
                DataType::Map(..) => map_types(data_type)
                    .is_some_and(|(key, value)| *key == DataType::UInt32 && (is_plain(value) || is_list(value))),
                _ => false,
            },
            Self::Writer => *data_type == DataType::UInt16,
            Self::Text => *data_type == DataType::Utf8,
            Self::Binary => matches!(data_type, DataType::Binary | DataType::FixedSizeBinary(1..=1024)),
            Self::Address => *data_type == DataType::FixedSizeBinary(16),
            Self::List => is_list(data_type),
            Self::Map => {
                map_types(data_type).is_some_and(|(key, value)| is_plain(key) && (is_plain(value) || is_list(value)))
            }
        }
    }
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_integer() || matches!(data_type, DataType::Float32 | DataType::Float64)
}

/// Types with one value per row that a predicate can compare.
pub(crate) fn is_plain(data_type: &DataType) -> bool {
    is_number(data_type)
        || *data_type == Timestamp::data_type()
        || matches!(
            data_type,
            DataType::Boolean | DataType::Utf8 | DataType::Binary | DataType::FixedSizeBinary(1..=1024)
        )
}

fn is_list(data_type: &DataType) -> bool {
    matches!(data_type, DataType::List(element) if is_plain(element.data_type()))
}

fn map_types(data_type: &DataType) -> Option<(&DataType, &DataType)> {
    let DataType::Map(entries, _) = data_type else { return None };
    let DataType::Struct(fields) = entries.data_type() else { return None };
    match fields.as_ref() {
        [key, value] => Some((key.data_type(), value.data_type())),
        _ => None,
    }
}

impl fmt::Display for ColumnKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Time => "time",
            Self::Duration => "duration",
            Self::Number => "number",
            Self::Flag => "flag",
            Self::Id { dictionary } => return write!(f, "id:{dictionary}"),
            Self::Writer => "writer",
            Self::Text => "text",
            Self::Binary => "binary",
            Self::Address => "address",
            Self::List => "list",
            Self::Map => "map",
        })
    }
}

impl FromStr for ColumnKind {
    type Err = ParseKindError;

    fn from_str(text: &str) -> Result<Self, ParseKindError> {
        Ok(match text {
            "time" => Self::Time,
            "duration" => Self::Duration,
            "number" => Self::Number,
            "flag" => Self::Flag,
            "writer" => Self::Writer,
            "text" => Self::Text,
            "binary" => Self::Binary,
            "address" => Self::Address,
            "list" => Self::List,
            "map" => Self::Map,
            _ => match text.strip_prefix("id:") {
                Some(dictionary) if crate::name::check_name(dictionary).is_ok() => Self::id(dictionary),
                _ => return Err(ParseKindError(text.chars().take(64).collect())),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_reads_back() {
        use ColumnKind::*;
        for kind in [Time, Duration, Number, Flag, ColumnKind::id("endpoint"), Writer, Text, Binary, Address, List, Map]
        {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        for bad in ["", "id", "id:", "id:A B", "Time"] {
            assert!(bad.parse::<ColumnKind>().is_err(), "{bad}");
        }
    }
}
