//! The values of one column, as they come.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, FixedSizeBinaryBuilder, Float64Builder, Int16Builder, Int64Builder, ListBuilder,
    MapBuilder, MapFieldNames, StringBuilder, StringDictionaryBuilder, TimestampNanosecondBuilder, UInt16Builder,
    UInt32Builder, UInt64Builder,
};
use arrow_array::types::UInt32Type;
use arrow_schema::{DataType, Field};

use crate::{Column, Values};

/// Keys and values of free attributes.
pub(super) type AttributesBuilder = MapBuilder<StringDictionaryBuilder<UInt32Type>, StringBuilder>;

/// One column in the making: one kind for each Arrow type on the wire.
pub(super) enum ColumnBuilder {
    Time(TimestampNanosecondBuilder),
    I64(Int64Builder),
    U64(UInt64Builder),
    U32(UInt32Builder),
    U16(UInt16Builder),
    F64(Float64Builder),
    Flag(BooleanBuilder),
    Name(Names),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Address(FixedSizeBinaryBuilder),
    Texts(ListBuilder<StringBuilder>),
    U16s(ListBuilder<UInt16Builder>),
    Buckets(ListBuilder<Int16Builder>),
    Counts(ListBuilder<UInt32Builder>),
    Attributes(Box<AttributesBuilder>),
    /// Of a column that agents do not send.
    None,
}

impl ColumnBuilder {
    pub(super) fn new(column: &Column) -> Self {
        let item = |element: DataType| Field::new("item", element, false);
        match column.values {
            Values::Time => {
                Self::Time(TimestampNanosecondBuilder::new().with_data_type(storage_api::Timestamp::data_type()))
            }
            Values::Nanos | Values::Instant => Self::I64(Int64Builder::new()),
            Values::U64 => Self::U64(UInt64Builder::new()),
            Values::U32 => Self::U32(UInt32Builder::new()),
            Values::U16 => Self::U16(UInt16Builder::new()),
            Values::F64 => Self::F64(Float64Builder::new()),
            Values::Flag => Self::Flag(BooleanBuilder::new()),
            Values::Name(_) => Self::Name(Names::default()),
            Values::Text => Self::Text(StringBuilder::new()),
            Values::Bytes => Self::Bytes(BinaryBuilder::new()),
            Values::Address => Self::Address(FixedSizeBinaryBuilder::new(16)),
            Values::TextList => Self::Texts(ListBuilder::new(StringBuilder::new()).with_field(item(DataType::Utf8))),
            Values::U16List => Self::U16s(ListBuilder::new(UInt16Builder::new()).with_field(item(DataType::UInt16))),
            Values::Buckets => Self::Buckets(ListBuilder::new(Int16Builder::new()).with_field(item(DataType::Int16))),
            Values::Counts => Self::Counts(ListBuilder::new(UInt32Builder::new()).with_field(item(DataType::UInt32))),
            Values::Attributes(_) => {
                let names = MapFieldNames { entry: "entries".into(), key: "keys".into(), value: "values".into() };
                let builder = MapBuilder::new(Some(names), StringDictionaryBuilder::new(), StringBuilder::new());
                Self::Attributes(Box::new(builder))
            }
            Values::Overflow | Values::Writer => Self::None,
        }
    }

    pub(super) fn finish(&mut self) -> Option<ArrayRef> {
        Some(match self {
            Self::Time(builder) => Arc::new(builder.finish()),
            Self::I64(builder) => Arc::new(builder.finish()),
            Self::U64(builder) => Arc::new(builder.finish()),
            Self::U32(builder) => Arc::new(builder.finish()),
            Self::U16(builder) => Arc::new(builder.finish()),
            Self::F64(builder) => Arc::new(builder.finish()),
            Self::Flag(builder) => Arc::new(builder.finish()),
            Self::Name(names) => names.finish(),
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Bytes(builder) => Arc::new(builder.finish()),
            Self::Address(builder) => Arc::new(builder.finish()),
            Self::Texts(builder) => Arc::new(builder.finish()),
            Self::U16s(builder) => Arc::new(builder.finish()),
            Self::Buckets(builder) => Arc::new(builder.finish()),
            Self::Counts(builder) => Arc::new(builder.finish()),
            Self::Attributes(builder) => Arc::new(builder.finish()),
            Self::None => return None,
        })
    }
}

/// Texts that repeat: a dictionary of the batch's own.
#[derive(Default)]
pub(super) struct Names {
    builder: StringDictionaryBuilder<UInt32Type>,
    distinct: u32,
}

impl Names {
    /// Appends one and says how many bytes it adds.
    pub(super) fn append(&mut self, name: Option<&str>) -> usize {
        let Some(name) = name else {
            self.builder.append_null();
            return 0;
        };
        match self.builder.append(name) {
            Ok(key) if key >= self.distinct => {
                self.distinct = key.saturating_add(1);
                name.len() + size_of::<u32>()
            }
            // No batch has 2³² different names.
            _ => 0,
        }
    }

    fn finish(&mut self) -> ArrayRef {
        self.distinct = 0;
        Arc::new(self.builder.finish())
    }
}
