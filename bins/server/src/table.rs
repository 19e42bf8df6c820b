use arrow_array::{Array, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{ArrowError, SchemaRef};

/// Widest column, in characters: what is longer is cut with `…`.
const WIDEST: usize = 80;

/// An answer for the eye: columns side by side, numbers to the right, control characters escaped (what was captured must not steer
/// the terminal). `left_out` rows are only counted.
pub(crate) fn write_table(schema: &SchemaRef, batches: &[RecordBatch], left_out: usize) -> Result<String, ArrowError> {
    let header: Vec<String> = schema.fields().iter().map(|field| shown(field.name())).collect();
    let right: Vec<bool> = schema.fields().iter().map(|field| field.data_type().is_numeric()).collect();
    let mut rows: Vec<Vec<String>> = Vec::new();
    for batch in batches {
        let options = FormatOptions::default();
        let columns = batch.columns().iter().map(|column| Ok((ArrayFormatter::try_new(column, &options)?, column)));
        let columns = columns.collect::<Result<Vec<_>, ArrowError>>()?;
        for row in 0..batch.num_rows() {
            let value = |(format, column): &(ArrayFormatter<'_>, &arrow_array::ArrayRef)| match column.is_valid(row) {
                true => shown(&format.value(row).to_string()),
                false => String::new(),
            };
            rows.push(columns.iter().map(value).collect());
        }
    }
    let mut widths: Vec<usize> = header.iter().map(|name| name.chars().count()).collect();
    for row in &rows {
        for (width, value) in widths.iter_mut().zip(row) {
            *width = (*width).max(value.chars().count());
        }
    }
    let line = |values: &[String]| {
        let cells = values.iter().zip(&widths).zip(&right).map(|((value, width), right)| match right {
            true => format!("{value:>width$}"),
            false => format!("{value:<width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let mut table = line(&header);
    table += &line(&widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>());
    rows.iter().for_each(|row| table += &line(row));
    table += &match (rows.len(), left_out) {
        (1, 0) => "(1 row)\n".to_owned(),
        (shown, 0) => format!("({shown} rows)\n"),
        (shown, more) => format!("({shown} rows shown, {more} more: ask for csv or json to see them)\n"),
    };
    Ok(table)
}

fn shown(text: &str) -> String {
    let mut shown = String::new();
    for (place, character) in text.chars().enumerate() {
        if place == WIDEST {
            shown.push('…');
            break;
        }
        match character {
            character if character.is_control() => shown.extend(character.escape_default()),
            // Marks that change the direction of text can make a line read as another.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                shown.extend(character.escape_default());
            }
            character => shown.push(character),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    #[test]
    fn numbers_stand_right_texts_left_and_controls_are_harmless() {
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("name", Arc::new(StringArray::from(vec![Some("a\x1b[31mb"), None])) as ArrayRef, true),
            ("n", Arc::new(Int64Array::from(vec![1, 1000])) as ArrayRef, false),
        ])
        .unwrap();
        let table = write_table(&batch.schema(), &[batch], 0).unwrap();
        assert_eq!(
            table,
            "name             n\n------------  ----\na\\u{1b}[31mb     1\n              1000\n(2 rows)\n"
        );
    }
}
