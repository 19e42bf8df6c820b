//! Texts of errors without the values that they repeat.

use alloc::string::String;

use crate::fields::Text;
use crate::{Field, Key, MessageWriter};

/// Sets the error text of an answer. Where it repeats `values` of the statement between quotes, each that does not stand in the statement as
/// it is shown becomes `?`: names stay.
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

/// Whether an error repeats values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Values {
    None,
    /// Each between quotes.
    Quoted,
    /// The rest of the statement between quotes, with quotes of its own.
    Rest,
}

fn push(into: &mut String, text: &str, quote: char, values: Values, statement: &str) {
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once(quote) {
        let end = if values == Values::Rest { behind.rfind(quote) } else { behind.find(quote) };
        let (value, after) = match end {
            Some(end) => behind.split_at(end),
            None => (behind, ""),
        };
        into.push_str(before);
        into.push(quote);
        into.push_str(if !value.is_empty() && statement.contains(value) { value } else { "?" });
        if end.is_some() {
            into.push(quote);
        }
        rest = after.strip_prefix(quote).unwrap_or_default();
    }
    into.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_and_values_go() {
        let statement = "INSERT INTO users VALUES (?)";
        for (text, quote, values, expected) in [
            ("Duplicate entry 'ann' for key 'users'", '\'', Values::Quoted, "Duplicate entry '?' for key 'users'"),
            ("near ''x', 'y')' at line 1", '\'', Values::Rest, "near '?' at line 1"),
            ("near 'users' at line 1", '\'', Values::Rest, "near 'users' at line 1"),
            ("invalid input: \"x", '"', Values::Quoted, "invalid input: \"?"),
            ("empty \"\" is \"?\"", '"', Values::Quoted, "empty \"?\" is \"?\""),
        ] {
            let mut told = String::new();
            push(&mut told, text, quote, values, statement);
            assert_eq!(told, expected);
        }
    }
}
