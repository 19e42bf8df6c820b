//! Texts of errors without the values that they repeat.

use alloc::string::String;

use crate::fields::Text;
use crate::{Field, Key, MessageWriter};

/// Sets the error text of an answer. What it repeats of the statement between quotes becomes `?`, unless it stands in the statement as that
/// is shown.
pub(crate) fn write(message: &mut MessageWriter<'_>, text: &[u8], quote: u8, values: Values) {
    if values == Values::None || !message.options().redact || memchr::memchr(quote, text).is_none() {
        message.field(Field::Exception, text);
        return;
    }
    let mut shown = core::mem::take(message.scratch);
    shown.clear();
    Text::Bytes(text).push_to(&mut shown, usize::MAX);
    let statement = message.field_of_request(Key::Order, Field::Resource).unwrap_or_default();
    let mut redacted = String::new();
    push(&mut redacted, &shown, quote.into(), values, statement);
    message.text(Field::Exception, Text::Valid(&redacted));
    *message.scratch = shown;
}

/// Whether an error repeats a value, and up to where: values may have quotes of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Values {
    None,
    /// From the first quote to the last one that ends what it is a value for, or to the last one of all.
    For,
    /// From the first quote to the last.
    All,
}

fn push(into: &mut String, text: &str, quote: char, values: Values, statement: &str) {
    let Some((before, behind)) = text.split_once(quote) else { return into.push_str(text) };
    let ends_value = |(at, _): &(usize, &str)| behind.get(at + 1..).is_some_and(|rest| rest.starts_with(" for "));
    let end = match values {
        Values::For => behind.rmatch_indices(quote).find(ends_value).map(|(at, _)| at),
        _ => None,
    };
    let end = end.or_else(|| behind.rfind(quote)).unwrap_or(behind.len());
    let (value, after) = behind.split_at(end);
    into.push_str(before);
    into.push(quote);
    into.push_str(if !value.is_empty() && statement.contains(value) { value } else { "?" });
    into.push_str(after);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_and_what_the_statement_shows_stays() {
        let statement = "INSERT INTO users VALUES (?)";
        for (text, quote, values, expected) in [
            ("Duplicate entry 'ann' for key 'name'", '\'', Values::For, "Duplicate entry '?' for key 'name'"),
            ("Duplicate entry 'it's for 'x' for key 'a'", '\'', Values::For, "Duplicate entry '?' for key 'a'"),
            ("Truncated incorrect DOUBLE value: 'x'", '\'', Values::For, "Truncated incorrect DOUBLE value: '?'"),
            ("near ''x', 'y')' at line 1", '\'', Values::All, "near '?' at line 1"),
            ("near 'users' at line 1", '\'', Values::All, "near 'users' at line 1"),
            ("invalid input: \"x", '"', Values::All, "invalid input: \"?"),
            ("invalid input: \"a\"b\"", '"', Values::All, "invalid input: \"?\""),
            ("division by zero", '"', Values::All, "division by zero"),
        ] {
            let mut told = String::new();
            push(&mut told, text, quote, values, statement);
            assert_eq!(told, expected);
        }
    }
}
