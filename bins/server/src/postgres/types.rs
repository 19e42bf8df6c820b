use arrow_schema::{DataType, SchemaRef, TimeUnit};
use pgwire::api::Type;
use pgwire::api::portal::Format;
use pgwire::api::results::{FieldFormat, FieldInfo};

/// The PostgreSQL type of a column. Maps and structures are JSON; what has no type of its own there is text.
pub(super) fn type_of(data_type: &DataType) -> Type {
    match data_type {
        DataType::Boolean => Type::BOOL,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => Type::INT2,
        DataType::Int32 | DataType::UInt16 => Type::INT4,
        // A UInt64 beyond the range of INT8 is an error of its row: no counter gets there.
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => Type::INT8,
        DataType::Float16 | DataType::Float32 => Type::FLOAT4,
        DataType::Float64 => Type::FLOAT8,
        DataType::Timestamp(_, None) => Type::TIMESTAMP,
        DataType::Timestamp(_, Some(_)) => Type::TIMESTAMPTZ,
        DataType::Date32 | DataType::Date64 => Type::DATE,
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) | DataType::BinaryView => Type::BYTEA,
        DataType::Dictionary(_, value) => type_of(value),
        DataType::Map(..) | DataType::Struct(_) => Type::JSON,
        DataType::List(element) | DataType::LargeList(element) => match type_of(element.data_type()) {
            Type::BOOL => Type::BOOL_ARRAY,
            Type::INT2 => Type::INT2_ARRAY,
            Type::INT4 => Type::INT4_ARRAY,
            Type::INT8 => Type::INT8_ARRAY,
            Type::FLOAT4 => Type::FLOAT4_ARRAY,
            Type::FLOAT8 => Type::FLOAT8_ARRAY,
            Type::TEXT => Type::TEXT_ARRAY,
            _ => Type::TEXT,
        },
        _ => Type::TEXT,
    }
}

/// What an array holds.
pub(super) fn element_of(array: &Type) -> Option<Type> {
    Some(match *array {
        Type::BOOL_ARRAY => Type::BOOL,
        Type::INT2_ARRAY => Type::INT2,
        Type::INT4_ARRAY => Type::INT4,
        Type::INT8_ARRAY => Type::INT8,
        Type::FLOAT4_ARRAY => Type::FLOAT4,
        Type::FLOAT8_ARRAY => Type::FLOAT8,
        Type::TEXT_ARRAY => Type::TEXT,
        _ => return None,
    })
}

/// The Arrow type of a parameter that the client declares.
pub(super) fn arrow_of(declared: &Type) -> Option<DataType> {
    Some(match *declared {
        Type::BOOL => DataType::Boolean,
        Type::INT2 => DataType::Int16,
        Type::INT4 => DataType::Int32,
        Type::INT8 | Type::OID => DataType::Int64,
        Type::FLOAT4 => DataType::Float32,
        Type::FLOAT8 | Type::NUMERIC => DataType::Float64,
        Type::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
        Type::DATE => DataType::Date32,
        Type::BYTEA => DataType::Binary,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::JSON => DataType::Utf8,
        _ => return None,
    })
}

/// The description of an answer's columns.
pub(super) fn fields(schema: &SchemaRef, format: Option<&Format>) -> Vec<FieldInfo> {
    let field = |(place, field): (usize, &std::sync::Arc<arrow_schema::Field>)| {
        let format = format.map_or(FieldFormat::Text, |format| format_for(format, place));
        FieldInfo::new(field.name().clone(), None, None, type_of(field.data_type()), format)
    };
    schema.fields().iter().enumerate().map(field).collect()
}

/// The format of a column; a client that gave too few formats gets text for the rest.
fn format_for(format: &Format, place: usize) -> FieldFormat {
    match format {
        Format::Individual(codes) => codes.get(place).map_or(FieldFormat::Text, |code| FieldFormat::from(*code)),
        Format::UnifiedText => FieldFormat::Text,
        Format::UnifiedBinary => FieldFormat::Binary,
    }
}
