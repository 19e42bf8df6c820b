use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use axum::body::Bytes;

use crate::table::write_table;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowFormat {
    /// One array of objects.
    Json,
    /// One object a line.
    JsonLines,
    /// Comma-separated values with a header line (RFC 4180).
    Csv,
    /// Columns for the eye; written when all rows are here.
    Table,
}

impl RowFormat {
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            "csv" => Some(Self::Csv),
            "table" => Some(Self::Table),
            _ => None,
        }
    }

    pub(crate) fn of_content_type(name: &str) -> Option<Self> {
        match name {
            "application/json" | "application/*" | "*/*" => Some(Self::Json),
            "application/x-ndjson" | "application/jsonl" | "application/jsonlines" => Some(Self::JsonLines),
            "text/csv" | "text/*" => Some(Self::Csv),
            "text/plain" => Some(Self::Table),
            _ => None,
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::JsonLines => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Table => "text/plain; charset=utf-8",
        }
    }
}

/// Writes batches one after the other.
#[derive(Debug)]
pub(crate) struct RowWriter {
    format: RowFormat,
    schema: SchemaRef,
    begun: bool,
    /// The rows of a table: its columns are as wide as the widest of them. At most [`TABLE_ROWS`].
    kept: Vec<RecordBatch>,
    room: usize,
    left_out: usize,
}

/// Rows of a table that are shown; nobody reads more.
const TABLE_ROWS: usize = 10_000;

impl RowWriter {
    pub(crate) fn new(format: RowFormat, schema: &SchemaRef) -> Self {
        Self { format, schema: Arc::clone(schema), begun: false, kept: Vec::new(), room: TABLE_ROWS, left_out: 0 }
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<Bytes, ArrowError> {
        let first = !std::mem::replace(&mut self.begun, true);
        let mut chunk = Vec::new();
        match self.format {
            RowFormat::Table => {
                let rows = batch.num_rows().min(self.room);
                self.kept.push(batch.slice(0, rows));
                self.room -= rows;
                self.left_out += batch.num_rows() - rows;
            }
            RowFormat::Csv => csv(batch, first, &mut chunk)?,
            RowFormat::Json | RowFormat::JsonLines => {
                let lines = json_lines(batch)?;
                if self.format == RowFormat::JsonLines {
                    chunk = lines;
                } else {
                    // Each line is one object: a newline inside of a text is escaped.
                    let mut separator: &[u8] = if first { b"[" } else { b",\n" };
                    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                        chunk.extend_from_slice(separator);
                        chunk.extend_from_slice(line);
                        separator = b",\n";
                    }
                    // A batch without rows has begun nothing.
                    self.begun = !first || !chunk.is_empty();
                }
            }
        }
        Ok(chunk.into())
    }

    /// What comes after the last row.
    pub(crate) fn finish(self) -> Bytes {
        match (self.format, self.begun) {
            (RowFormat::Table, _) => match write_table(&self.schema, &self.kept, self.left_out) {
                Ok(table) => table.into(),
                Err(error) => format!("{error}\n").into(),
            },
            (RowFormat::Json, true) => Bytes::from_static(b"]\n"),
            (RowFormat::Json, false) => Bytes::from_static(b"[]\n"),
            (RowFormat::Csv, false) => {
                let mut header = Vec::new();
                // Without rows nothing can fail.
                let _ = csv(&RecordBatch::new_empty(self.schema), true, &mut header);
                header.into()
            }
            _ => Bytes::new(),
        }
    }
}

/// All rows at once.
pub(crate) fn write_rows(
    format: RowFormat,
    schema: &SchemaRef,
    batches: &[RecordBatch],
) -> Result<Vec<u8>, ArrowError> {
    let mut writer = RowWriter::new(format, schema);
    let mut written = Vec::new();
    for batch in batches {
        written.extend_from_slice(&writer.write(batch)?);
    }
    written.extend_from_slice(&writer.finish());
    Ok(written)
}

fn json_lines(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let options = arrow_json::writer::WriterBuilder::new().with_explicit_nulls(true);
    let mut writer = options.build::<_, arrow_json::writer::LineDelimited>(Vec::new());
    writer.write(batch)?;
    writer.finish()?;
    Ok(writer.into_inner())
}

fn csv(batch: &RecordBatch, header: bool, chunk: &mut Vec<u8>) -> Result<(), ArrowError> {
    if batch.num_columns() == 0 {
        return Ok(());
    }
    let flat = flat(batch)?;
    let mut writer = arrow_csv::WriterBuilder::new().with_header(header).build(chunk);
    writer.write(&flat)
}

/// Lists and maps as text, for formats that have only texts.
pub(crate) fn flat(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if column.data_type().is_nested() {
            let options = FormatOptions::default();
            let formatter = ArrayFormatter::try_new(column, &options)?;
            let texts = (0..column.len()).map(|row| column.is_valid(row).then(|| formatter.value(row).to_string()));
            columns.push(Arc::new(texts.collect::<StringArray>()));
            fields.push(Field::new(field.name(), DataType::Utf8, true));
        } else {
            columns.push(Arc::clone(column));
            fields.push(field.as_ref().clone());
        }
    }
    let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
}
