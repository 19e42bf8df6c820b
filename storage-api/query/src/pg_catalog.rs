//! As much of PostgreSQL's catalogue (its documentation, chapter 53) as psql needs to list tables.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow_schema::{ArrowError, DataType};
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider};
use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// Object ids below this are PostgreSQL's own.
const FIRST_OID: i64 = 16_384;
const NAMESPACES: [(i64, &str); 3] = [(11, "pg_catalog"), (2200, "public"), (13_000, "information_schema")];
const PUBLIC: i64 = 2200;
const OWNER: i64 = 10;

/// The schema `pg_catalog` over these tables.
pub(crate) fn schema(tables: &[String]) -> Result<MemorySchemaProvider> {
    let catalog = MemorySchemaProvider::new();
    for (name, rows) in [("pg_namespace", namespaces()), ("pg_class", classes(tables)), ("pg_am", access_methods())] {
        let rows = rows?;
        catalog.register_table(name.to_owned(), Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?))?;
    }
    Ok(catalog)
}

/// The functions that psql calls when it lists tables.
pub(crate) fn functions() -> [ScalarUDF; 2] {
    let function = |name, alias, answer: ScalarValue| {
        let signature = Signature::any(1, Volatility::Immutable);
        ScalarUDF::from(Constant { name, aliases: [String::from(alias)], answer, signature })
    };
    [
        function("pg_get_userbyid", "pg_catalog.pg_get_userbyid", "metaflow".into()),
        function("pg_table_is_visible", "pg_catalog.pg_table_is_visible", true.into()),
    ]
}

fn namespaces() -> std::result::Result<RecordBatch, ArrowError> {
    rows([
        ("oid", numbers(NAMESPACES.map(|(oid, _)| oid))),
        ("nspname", Arc::new(StringArray::from_iter_values(NAMESPACES.map(|(_, name)| name)))),
        ("nspowner", numbers(NAMESPACES.map(|_| OWNER))),
    ])
}

fn classes(tables: &[String]) -> std::result::Result<RecordBatch, ArrowError> {
    let each = |value: i64| numbers(tables.iter().map(|_| value));
    let text = |value: &str| Arc::new(StringArray::from_iter_values(tables.iter().map(|_| value))) as ArrayRef;
    rows([
        ("oid", numbers((FIRST_OID..).zip(tables).map(|(oid, _)| oid))),
        ("relname", Arc::new(StringArray::from_iter_values(tables))),
        ("relnamespace", each(PUBLIC)),
        ("relowner", each(OWNER)),
        ("relam", each(0)),
        ("relkind", text("r")),
        ("relpersistence", text("p")),
        ("relhasindex", Arc::new(BooleanArray::from(vec![false; tables.len()]))),
        ("relispartition", Arc::new(BooleanArray::from(vec![false; tables.len()]))),
    ])
}

fn access_methods() -> std::result::Result<RecordBatch, ArrowError> {
    rows([("oid", numbers([])), ("amname", Arc::new(StringArray::from_iter_values([""; 0])))])
}

fn numbers(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<Int64Array>())
}

fn rows<const N: usize>(columns: [(&str, ArrayRef); N]) -> std::result::Result<RecordBatch, ArrowError> {
    RecordBatch::try_from_iter(columns)
}

/// Answers the same whatever it is asked about.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Constant {
    name: &'static str,
    /// The name with its schema, as psql writes it.
    aliases: [String; 1],
    answer: ScalarValue,
    signature: Signature,
}

impl ScalarUDFImpl for Constant {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.answer.data_type())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.answer.clone()))
    }
}
