use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};

use crate::name::check_name;
use crate::{ColumnKind, NameError, TableName, Timestamp};

const TABLE: &str = "metaflow.table";
const DESCRIPTION: &str = "metaflow.description";
const TIME: &str = "metaflow.time";
const SORT: &str = "metaflow.sort";

/// What a table is: its columns with their types, kinds and descriptions, which of them is its time, and how its rows are
/// best sorted. Cheap to clone.
///
/// All of it stands in the Arrow schema ([`TableDefinition::schema`]): the kind and description of a column in the
/// field's metadata, the rest in the schema's. [`TableDefinition::from_schema`] reads it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDefinition(Arc<Parts>);

#[derive(Debug, PartialEq, Eq)]
struct Parts {
    name: TableName,
    schema: SchemaRef,
    time: usize,
    sort: Vec<usize>,
}

/// One column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDefinition {
    /// Its name, see [`TableName`] for the rule.
    pub name: String,
    /// What its values mean.
    pub kind: ColumnKind,
    /// Their Arrow type; never a dictionary, which is a matter of each batch.
    pub data_type: DataType,
    /// Whether values may be missing.
    pub nullable: bool,
    /// For people who ask the table about itself; empty if there is nothing to say.
    pub description: String,
}

/// Builds a [`TableDefinition`], column by column; [`TableBuilder::build`] says what was wrong.
///
/// Columns are nullable unless [`TableBuilder::required`] follows them.
#[derive(Clone, Debug)]
pub struct TableBuilder {
    name: String,
    description: String,
    columns: Vec<ColumnDefinition>,
    time: Option<String>,
    sort: Vec<String>,
}

/// Why a definition contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DefinitionError {
    /// A table or column has no proper name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Two columns share a name.
    #[error("column `{0}` is named twice")]
    Twice(String),
    /// There is no time column.
    #[error("the table has no time column")]
    NoTime,
    /// The sort order names a column that is not there or has no order.
    #[error("the table cannot be sorted by `{0}`")]
    Sort(String),
    /// The Arrow type does not go with the kind.
    #[error("column `{column}` of kind {kind} cannot have type {data_type}")]
    Type {
        /// The column.
        column: String,
        /// Its kind.
        kind: ColumnKind,
        /// Its type.
        data_type: DataType,
    },
    /// More columns than [`TableDefinition::MOST_COLUMNS`].
    #[error("{0} columns are too many")]
    TooManyColumns(usize),
    /// An Arrow schema that was not made by this type.
    #[error("the schema is no table: {0}")]
    Metadata(String),
}

impl TableDefinition {
    /// Most columns that a table may have.
    pub const MOST_COLUMNS: usize = 1000;

    /// Begins a definition.
    pub fn builder(name: &str) -> TableBuilder {
        TableBuilder {
            name: name.to_owned(),
            description: String::new(),
            columns: Vec::new(),
            time: None,
            sort: Vec::new(),
        }
    }

    /// Reads back what [`TableDefinition::schema`] carries.
    ///
    /// # Errors
    /// [`DefinitionError`] when the metadata are missing or wrong, as in any schema from elsewhere.
    pub fn from_schema(schema: &Schema) -> Result<Self, DefinitionError> {
        let text = |key: &str| {
            schema.metadata().get(key).cloned().ok_or_else(|| DefinitionError::Metadata(format!("`{key}` is missing")))
        };
        let mut builder = Self::builder(&text(TABLE)?).describe(&text(DESCRIPTION)?);
        builder.time = Some(text(TIME)?);
        builder.sort = text(SORT)?.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        for field in schema.fields() {
            builder = builder.column(ColumnDefinition::from_field(field)?);
        }
        builder.build()
    }

    /// Its name.
    pub fn name(&self) -> &TableName {
        &self.0.name
    }

    /// Columns and everything else, as Arrow says it.
    pub fn schema(&self) -> &SchemaRef {
        &self.0.schema
    }

    /// For people who ask the table about itself.
    pub fn description(&self) -> &str {
        self.0.schema.metadata().get(DESCRIPTION).map_or("", String::as_str)
    }

    /// The columns, in order.
    pub fn columns(&self) -> impl Iterator<Item = ColumnDefinition> + '_ {
        self.0.schema.fields().iter().filter_map(|field| ColumnDefinition::from_field(field).ok())
    }

    /// One column by its name.
    pub fn column(&self, name: &str) -> Option<ColumnDefinition> {
        ColumnDefinition::from_field(self.0.schema.field_with_name(name).ok()?).ok()
    }

    /// Where the time column stands.
    pub fn time_index(&self) -> usize {
        self.0.time
    }

    /// The name of the time column, by which ranges, files and retention go.
    pub fn time_column(&self) -> &str {
        self.0.schema.field(self.0.time).name()
    }

    /// Where the columns stand by which rows are best sorted, most significant first.
    pub fn sort_indices(&self) -> &[usize] {
        &self.0.sort
    }
}

impl ColumnDefinition {
    /// A nullable column without description.
    pub fn new(name: &str, kind: ColumnKind, data_type: DataType) -> Self {
        Self { name: name.to_owned(), kind, data_type, nullable: true, description: String::new() }
    }

    /// Reads kind and description out of a field.
    ///
    /// # Errors
    /// [`DefinitionError::Metadata`] when the field has no kind.
    pub fn from_field(field: &Field) -> Result<Self, DefinitionError> {
        let missing = || DefinitionError::Metadata(format!("column `{}` has no kind", field.name()));
        let kind = field.metadata().get(ColumnKind::METADATA_KEY).ok_or_else(missing)?;
        Ok(Self {
            name: field.name().clone(),
            kind: kind.parse().map_err(|_| missing())?,
            data_type: field.data_type().clone(),
            nullable: field.is_nullable(),
            description: field.metadata().get(DESCRIPTION).cloned().unwrap_or_default(),
        })
    }

    pub(crate) fn into_field(self) -> Field {
        let mut metadata = HashMap::from([(ColumnKind::METADATA_KEY.to_owned(), self.kind.to_string())]);
        if !self.description.is_empty() {
            metadata.insert(DESCRIPTION.to_owned(), self.description);
        }
        Field::new(self.name, self.data_type, self.nullable).with_metadata(metadata)
    }
}

impl TableBuilder {
    /// Says what the table holds.
    #[must_use]
    pub fn describe(mut self, description: &str) -> Self {
        description.clone_into(&mut self.description);
        self
    }

    /// Adds any column.
    #[must_use]
    pub fn column(mut self, column: ColumnDefinition) -> Self {
        self.columns.push(column);
        self
    }

    /// Adds the column by which the table's time ranges, files and retention go. Required, and only one.
    #[must_use]
    pub fn time(mut self, name: &str, description: &str) -> Self {
        self.time = Some(name.to_owned());
        self.with(name, ColumnKind::Time, Timestamp::data_type(), description).required()
    }

    /// Adds a number of the given integer or float type.
    #[must_use]
    pub fn number(self, name: &str, data_type: DataType, description: &str) -> Self {
        self.with(name, ColumnKind::Number, data_type, description)
    }

    /// Adds a length of time: `Int64` nanoseconds.
    #[must_use]
    pub fn duration(self, name: &str, description: &str) -> Self {
        self.with(name, ColumnKind::Duration, DataType::Int64, description)
    }

    /// Adds a yes or no.
    #[must_use]
    pub fn flag(self, name: &str, description: &str) -> Self {
        self.with(name, ColumnKind::Flag, DataType::Boolean, description)
    }

    /// Adds a name, stored as `UInt32` id of a dictionary.
    #[must_use]
    pub fn id(self, name: &str, dictionary: &str, description: &str) -> Self {
        self.with(name, ColumnKind::id(dictionary), DataType::UInt32, description)
    }

    /// Adds the number of the server that gave out the row's ids.
    #[must_use]
    pub fn writer(self, name: &str, description: &str) -> Self {
        self.with(name, ColumnKind::Writer, DataType::UInt16, description)
    }

    /// Adds free text.
    #[must_use]
    pub fn text(self, name: &str, description: &str) -> Self {
        self.with(name, ColumnKind::Text, DataType::Utf8, description)
    }

    /// Adds free bytes.
    #[must_use]
    pub fn binary(self, name: &str, description: &str) -> Self {
        self.with(name, ColumnKind::Binary, DataType::Binary, description)
    }

    /// Adds an internet address: 16 bytes, IPv4 mapped into IPv6.
    #[must_use]
    pub fn address(self, name: &str, description: &str) -> Self {
        self.with(name, ColumnKind::Address, DataType::FixedSizeBinary(16), description)
    }

    /// Makes the column added last required: never NULL.
    #[must_use]
    pub fn required(mut self) -> Self {
        if let Some(column) = self.columns.last_mut() {
            column.nullable = false;
        }
        self
    }

    /// Names the columns by which rows are best sorted, most significant first: those that questions filter on. Columns
    /// of lists and maps have no order.
    #[must_use]
    pub fn sort_by<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>) -> Self {
        self.sort = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Checks and finishes.
    ///
    /// # Errors
    /// [`DefinitionError`] names the first contradiction.
    pub fn build(self) -> Result<TableDefinition, DefinitionError> {
        let name = TableName::new(&self.name)?;
        if self.columns.len() > TableDefinition::MOST_COLUMNS {
            return Err(DefinitionError::TooManyColumns(self.columns.len()));
        }
        let mut names = BTreeSet::new();
        for column in &self.columns {
            check_name(&column.name)?;
            if !names.insert(&column.name) {
                return Err(DefinitionError::Twice(column.name.clone()));
            }
            if !column.kind.fits(&column.data_type) {
                return Err(DefinitionError::Type {
                    column: column.name.clone(),
                    kind: column.kind.clone(),
                    data_type: column.data_type.clone(),
                });
            }
        }
        let find = |wanted: &str| self.columns.iter().position(|column| column.name == wanted);
        let time = self
            .time
            .as_deref()
            .and_then(find)
            .filter(|&index| self.columns[index].kind == ColumnKind::Time && !self.columns[index].nullable)
            .ok_or(DefinitionError::NoTime)?;
        let sort = self
            .sort
            .iter()
            .map(|name| {
                find(name)
                    .filter(|&index| crate::kind::is_plain(&self.columns[index].data_type))
                    .ok_or_else(|| DefinitionError::Sort(name.clone()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let metadata = HashMap::from([
            (TABLE.to_owned(), self.name),
            (DESCRIPTION.to_owned(), self.description),
            (TIME.to_owned(), self.columns[time].name.clone()),
            (SORT.to_owned(), self.sort.join(",")),
        ]);
        let fields: Vec<_> = self.columns.into_iter().map(ColumnDefinition::into_field).collect();
        let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
        Ok(TableDefinition(Arc::new(Parts { name, schema, time, sort })))
    }

    fn with(self, name: &str, kind: ColumnKind, data_type: DataType, description: &str) -> Self {
        let mut column = ColumnDefinition::new(name, kind, data_type);
        description.clone_into(&mut column.description);
        self.column(column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls() -> TableBuilder {
        TableDefinition::builder("calls")
            .describe("one request with its answer")
            .time("time", "when it began")
            .id("endpoint", "endpoint", "what was asked")
            .address("client_address", "who asked")
            .required()
            .sort_by(["endpoint", "time"])
    }

    #[test]
    fn a_schema_carries_the_whole_definition() {
        let table = calls().build().unwrap();
        assert_eq!(TableDefinition::from_schema(table.schema()).unwrap(), table);
        assert_eq!((table.time_column(), table.sort_indices()), ("time", &[1, 0][..]));
        assert_eq!(table.description(), "one request with its answer");
        let column = table.column("client_address").unwrap();
        assert_eq!(
            (column.kind, column.nullable, column.description.as_str()),
            (ColumnKind::Address, false, "who asked")
        );
    }

    #[test]
    fn contradictions_are_named() {
        let twice = calls().text("endpoint", "").build();
        assert_eq!(twice.unwrap_err(), DefinitionError::Twice("endpoint".to_owned()));
        assert_eq!(TableDefinition::builder("t").text("a", "").build().unwrap_err(), DefinitionError::NoTime);
        assert!(matches!(calls().sort_by(["nowhere"]).build(), Err(DefinitionError::Sort(_))));
        assert!(matches!(calls().text("Upper", "").build(), Err(DefinitionError::Name(_))));
        let wrong = ColumnDefinition::new("x", ColumnKind::Writer, DataType::Utf8);
        assert!(matches!(calls().column(wrong).build(), Err(DefinitionError::Type { .. })));
        let packed = DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8));
        let packed = ColumnDefinition::new("x", ColumnKind::Text, packed);
        assert!(matches!(calls().column(packed).build(), Err(DefinitionError::Type { .. })));
        assert!(matches!(TableDefinition::from_schema(&Schema::empty()), Err(DefinitionError::Metadata(_))));
        let wide = (0..1001).fold(calls(), |builder, index| builder.text(&format!("c{index}"), ""));
        assert!(matches!(wide.build(), Err(DefinitionError::TooManyColumns(_))));
    }
}
