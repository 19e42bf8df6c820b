use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use arrow_select::take::take;

use crate::{ColumnDefinition, CreateTableError, TableDefinition};

/// Why rows do not fit a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// A column that must not be missing is missing.
    #[error("required column `{column}` is missing")]
    Missing {
        /// The column.
        column: String,
    },
    /// A required column holds NULL.
    #[error("required column `{column}` holds {nulls} NULLs")]
    Null {
        /// The column.
        column: String,
        /// How many.
        nulls: usize,
    },
    /// The table has no such column; add it by creating the table again.
    #[error("the table has no column `{column}`")]
    Unknown {
        /// The column.
        column: String,
    },
    /// A column comes twice.
    #[error("column `{column}` comes twice")]
    Twice {
        /// The column.
        column: String,
    },
    /// A column has another type.
    #[error("column `{column}` is {found}, not {wanted}")]
    Type {
        /// The column.
        column: String,
        /// Its type in the batch.
        found: DataType,
        /// Its type in the table.
        wanted: DataType,
    },
    /// A dictionary column refers to values that it has not.
    #[error("column `{column}` cannot be unpacked: {reason}")]
    Dictionary {
        /// The column.
        column: String,
        /// What Arrow says.
        reason: String,
    },
}

/// Brings a batch into the table's shape: its columns in its order, dictionaries unpacked, NULLs for what is missing.
///
/// # Errors
/// [`SchemaError`] names the first column that does not fit.
pub fn conform(batch: &RecordBatch, table: &TableDefinition) -> Result<RecordBatch, SchemaError> {
    let (given, wanted) = (batch.schema_ref(), table.schema());
    let mut found: Vec<Option<usize>> = vec![None; wanted.fields().len()];
    for (index, field) in given.fields().iter().enumerate() {
        let column = || field.name().chars().take(64).collect::<String>();
        let (place, _) =
            wanted.column_with_name(field.name()).ok_or_else(|| SchemaError::Unknown { column: column() })?;
        if found[place].replace(index).is_some() {
            return Err(SchemaError::Twice { column: column() });
        }
    }
    let arrays = wanted.fields().iter().zip(found).map(|(field, place)| match place {
        Some(place) => conform_column(batch.column(place), field),
        None if field.is_nullable() => Ok(new_null_array(field.data_type(), batch.num_rows())),
        None => Err(SchemaError::Missing { column: field.name().clone() }),
    });
    let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(wanted.clone(), arrays, &options)
        .map_err(|error| SchemaError::Dictionary { column: String::new(), reason: error.to_string() })
}

/// Gives a batch that was stored when the table had fewer columns the new ones, as NULLs.
///
/// # Errors
/// When the batch is no beginning of the table.
pub fn widen(batch: &RecordBatch, table: &TableDefinition) -> Result<RecordBatch, ArrowError> {
    let schema = table.schema();
    if batch.num_columns() == schema.fields().len() {
        return RecordBatch::try_new(schema.clone(), batch.columns().to_vec());
    }
    let new = schema.fields().iter().skip(batch.num_columns());
    let arrays = batch
        .columns()
        .iter()
        .cloned()
        .chain(new.map(|field| new_null_array(field.data_type(), batch.num_rows())))
        .collect();
    RecordBatch::try_new(schema.clone(), arrays)
}

impl TableDefinition {
    /// This table grown by the columns of `newer`: the rule of [`crate::Storage::create_table`], for backends.
    ///
    /// # Errors
    /// [`CreateTableError`] when `newer` changes what is there.
    pub fn grown_by(&self, newer: &Self) -> Result<Self, CreateTableError> {
        let table = self.name().clone();
        if self.time_column() != newer.time_column() {
            return Err(CreateTableError::LayoutChange { table, what: "the time column" });
        }
        let sort = |definition: &Self| -> Vec<String> {
            definition.sort_indices().iter().map(|&index| definition.schema().field(index).name().clone()).collect()
        };
        if sort(self) != sort(newer) {
            return Err(CreateTableError::LayoutChange { table, what: "the sort order" });
        }
        let mut columns: Vec<ColumnDefinition> = self.columns().collect();
        for wanted in newer.columns() {
            match columns.iter_mut().find(|stored| stored.name == wanted.name) {
                Some(stored) if stored.data_type != wanted.data_type || stored.kind != wanted.kind => {
                    let say = |column: &ColumnDefinition| format!("{} ({})", column.data_type, column.kind);
                    let (stored, column) = (say(stored), wanted.name.clone());
                    return Err(CreateTableError::TypeChange { table, column, stored, wanted: say(&wanted) });
                }
                Some(stored) if stored.nullable != wanted.nullable => {
                    return Err(CreateTableError::LayoutChange { table, what: "whether a column is required" });
                }
                Some(stored) => stored.description = wanted.description,
                None if wanted.nullable => columns.push(wanted),
                None => return Err(CreateTableError::NewColumnRequired { table, column: wanted.name }),
            }
        }
        // The schema's own metadata hold name, time column and sort order, so they come from the newer definition.
        let fields: Vec<Field> = columns.into_iter().map(ColumnDefinition::into_field).collect();
        let schema = Schema::new_with_metadata(fields, newer.schema().metadata().clone());
        Ok(Self::from_schema(&schema)?)
    }
}

fn conform_column(array: &ArrayRef, field: &Field) -> Result<ArrayRef, SchemaError> {
    let column = || field.name().clone();
    let plain = match array.data_type() {
        DataType::Dictionary(_, values) if values.as_ref() == field.data_type() => {
            let dictionary = array.as_any_dictionary();
            take(dictionary.values().as_ref(), dictionary.keys(), None)
                .map_err(|error| SchemaError::Dictionary { column: column(), reason: error.to_string() })?
        }
        same if same == field.data_type() => Arc::clone(array),
        other => {
            let wanted = field.data_type().clone();
            return Err(SchemaError::Type { column: column(), found: other.clone(), wanted });
        }
    };
    match plain.logical_null_count() {
        nulls if nulls > 0 && !field.is_nullable() => Err(SchemaError::Null { column: column(), nulls }),
        _ => Ok(plain),
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::types::UInt32Type;
    use arrow_array::{DictionaryArray, Int64Array, StringArray, TimestampNanosecondArray};

    use super::*;

    fn table() -> TableDefinition {
        TableDefinition::builder("t").time("time", "").text("name", "").duration("took", "").build().unwrap()
    }

    fn times(times: Vec<Option<i64>>) -> ArrayRef {
        Arc::new(TimestampNanosecondArray::from(times).with_timezone("+00:00"))
    }

    #[test]
    fn columns_in_any_order_with_dictionaries_and_gaps_find_their_place() {
        let names: DictionaryArray<UInt32Type> = [Some("a"), None, Some("a")].into_iter().collect();
        let batch = RecordBatch::try_from_iter([
            ("name", Arc::new(names) as ArrayRef),
            ("time", times(vec![Some(1), Some(2), Some(3)])),
        ])
        .unwrap();
        let rows = conform(&batch, &table()).unwrap();
        assert_eq!(rows.schema_ref(), table().schema());
        let names: &StringArray = rows.column(1).as_string();
        assert_eq!(names.iter().collect::<Vec<_>>(), [Some("a"), None, Some("a")]);
        assert_eq!(rows.column(2).null_count(), 3);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let time = times(vec![Some(1)]);
        let number: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let check = |columns: Vec<(&str, ArrayRef)>| {
            let fields: Vec<_> =
                columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
            let arrays = columns.into_iter().map(|(_, array)| array).collect();
            let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
            conform(&batch, &table()).unwrap_err()
        };
        assert_eq!(check(vec![("took", number.clone())]), SchemaError::Missing { column: "time".to_owned() });
        assert_eq!(check(vec![("time", times(vec![None]))]), SchemaError::Null { column: "time".to_owned(), nulls: 1 });
        assert_eq!(
            check(vec![("time", time.clone()), ("x", number.clone())]),
            SchemaError::Unknown { column: "x".to_owned() }
        );
        assert!(matches!(check(vec![("time", time.clone()), ("name", number)]), SchemaError::Type { .. }));
        assert_eq!(
            check(vec![("time", time.clone()), ("time", time)]),
            SchemaError::Twice { column: "time".to_owned() }
        );
    }

    #[test]
    fn a_table_grows_at_its_end_and_forgets_nothing() {
        let newer = TableDefinition::builder("t")
            .describe("now with a size")
            .time("time", "")
            .number("size", DataType::UInt64, "bytes")
            .build()
            .unwrap();
        let grown = table().grown_by(&newer).unwrap();
        let names: Vec<_> = grown.columns().map(|column| column.name).collect();
        assert_eq!(names, ["time", "name", "took", "size"]);
        assert_eq!(grown.description(), "now with a size");
        assert_eq!(grown.grown_by(&table()).unwrap().schema().fields(), grown.schema().fields());
        let old = RecordBatch::new_empty(table().schema().clone());
        assert_eq!(widen(&old, &grown).unwrap().schema_ref(), grown.schema());
    }

    #[test]
    fn growth_that_changes_what_is_stored_is_refused() {
        let start = || TableDefinition::builder("t").time("time", "");
        let refuse = |builder: crate::TableBuilder| table().grown_by(&builder.build().unwrap()).unwrap_err();
        assert!(matches!(refuse(start().binary("name", "")), CreateTableError::TypeChange { .. }));
        assert!(matches!(
            refuse(start().number("took", DataType::Int64, "")),
            CreateTableError::TypeChange { column, .. } if column == "took"
        ));
        assert!(matches!(
            refuse(start().text("new", "").required()),
            CreateTableError::NewColumnRequired { column, .. } if column == "new"
        ));
        assert!(matches!(refuse(start().sort_by(["time"])), CreateTableError::LayoutChange { .. }));
        assert!(matches!(
            refuse(TableDefinition::builder("t").time("other", "")),
            CreateTableError::LayoutChange { .. }
        ));
    }
}
