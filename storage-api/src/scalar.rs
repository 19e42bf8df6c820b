use std::fmt;

use crate::Timestamp;

/// One value that a predicate compares a column with. Never NULL: see [`crate::Predicate::IsNull`].
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// For `Boolean` columns.
    Boolean(bool),
    /// For integer and float columns.
    Int(i64),
    /// For integer and float columns.
    UInt(u64),
    /// For float columns.
    Float(f64),
    /// For `Utf8` columns.
    Text(String),
    /// For `Binary` and `FixedSizeBinary` columns; a length other than the column's is allowed.
    Binary(Vec<u8>),
    /// For timestamp columns.
    Timestamp(Timestamp),
}

macro_rules! from {
    ($($source:ty => $variant:ident),* $(,)?) => {$(
        impl From<$source> for Scalar {
            fn from(value: $source) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}
from!(
    bool => Boolean, i8 => Int, i16 => Int, i32 => Int, i64 => Int, u8 => UInt, u16 => UInt, u32 => UInt, u64 => UInt,
    f32 => Float, f64 => Float, &str => Text, String => Text, &[u8] => Binary, Vec<u8> => Binary, Timestamp => Timestamp,
);

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::UInt(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Text(value) => write!(f, "'{}'", value.replace('\'', "''")),
            Self::Binary(value) => {
                f.write_str("X'")?;
                value.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str("'")
            }
            Self::Timestamp(value) => write!(f, "{value}"),
        }
    }
}
