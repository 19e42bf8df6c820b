//! Text that came from a network, and quantities, for people.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter, Write};
use std::time::Duration;

use flow_core::Endpoint;

/// One end of a conversation as records name it: a Unix socket by its path, where it has one.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) path: Option<&'a str>,
}

impl Display for Named<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (self.endpoint, self.path) {
            (Endpoint::Unix(_), Some(path)) => write!(f, "unix:{path}"),
            (endpoint, _) => endpoint.fmt(f),
        }
    }
}

/// Whether a character is obeyed by terminals instead of shown: controls, and those that turn the direction of writing or have no width.
pub(super) fn is_unseen(character: char) -> bool {
    let format =
        matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    character.is_control() || format
}

/// The text with every such character escaped: `\n`, `\x1b`, `\u{202e}`.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unseen) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            // Writing to a string cannot fail.
            '\0'..='\x7f' if is_unseen(character) => _ = write!(shown, "\\x{:02x}", u32::from(character)),
            _ if is_unseen(character) => _ = write!(shown, "\\u{{{:x}}}", u32::from(character)),
            _ => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// A duration in the unit that suits it, with three digits: `850 ns`, `12.3 µs`, `1.24 s`, `3m 05s`, `2h 05m`.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => {}
        1..100 => return scaled(duration.as_secs_f64(), "s"),
        100..3600 => return format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => return format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
    }
    match duration.as_nanos() {
        nanos @ 0..1_000 => format!("{nanos} ns"),
        nanos @ 1_000..1_000_000 => scaled(nanos as f64 / 1e3, "µs"),
        nanos => scaled(nanos as f64 / 1e6, "ms"),
    }
}

/// Bytes in the unit that suits them: `999 B`, `1.5 kB`, `20.1 MB`.
pub(super) fn bytes(bytes: u64) -> String {
    let value = bytes as f64;
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => scaled(value / 1e3, "kB"),
        1_000_000..1_000_000_000 => scaled(value / 1e6, "MB"),
        _ => scaled(value / 1e9, "GB"),
    }
}

fn scaled(value: f64, unit: &str) -> String {
    let digits = match value {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_shown_instead() {
        assert_eq!(escaped("plain ä 漢"), "plain ä 漢");
        assert_eq!(escaped("\x1b[2J\x07\u{9b}\u{202e}\r\n\t\x7f"), "\\x1b[2J\\x07\\u{9b}\\u{202e}\\r\\n\\t\\x7f");
    }

    #[test]
    fn durations_in_the_unit_that_suits_them() {
        for (nanos, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_230, "1.23 µs"),
            (45_600_000, "45.6 ms"),
            (999_000_000, "999 ms"),
            (2_050_000_000, "2.05 s"),
            (185_000_000_000, "3m 05s"),
            (7_500_000_000_000, "2h 05m"),
        ] {
            assert_eq!(duration(Duration::from_nanos(nanos)), text);
        }
        assert_eq!((bytes(999), bytes(1_500), bytes(20_100_000)), ("999 B".into(), "1.50 kB".into(), "20.1 MB".into()));
    }
}
