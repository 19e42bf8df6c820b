//! Whole lines of several printers on one paper.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// What all printers print on.
pub(super) struct Paper<W>(Mutex<State<W>>);

struct State<W> {
    out: W,
    /// Of the last line.
    day: Option<u64>,
    printed: Printed,
}

/// How many records have been printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Printed {
    pub(crate) calls: u64,
    pub(crate) flows: u64,
    pub(crate) events: u64,
}

/// Lines that are not on paper yet.
#[derive(Default)]
pub(super) struct Page {
    pub(super) lines: Vec<u8>,
    /// The day of all of them, in days since the Unix epoch, where it shall be said.
    pub(super) day: Option<u64>,
    pub(super) printed: Printed,
}

impl Page {
    const BYTES: usize = 1 << 16;

    pub(super) fn is_full(&self) -> bool {
        self.lines.len() >= Self::BYTES
    }
}

impl<W: Write> Paper<W> {
    pub(super) fn new(out: W) -> Self {
        Self(Mutex::new(State { out, day: None, printed: Printed::default() }))
    }

    /// Prints the page whole, with its day before it when that is another than the last, and empties it.
    pub(super) fn print(&self, page: &mut Page) -> io::Result<()> {
        if page.lines.is_empty() {
            return Ok(());
        }
        let state = &mut *self.lock();
        if let Some(day) = page.day.filter(|_| page.day != state.day) {
            let date = SystemTime::UNIX_EPOCH + Duration::from_secs(day * 86_400);
            let date = humantime::format_rfc3339_seconds(date).to_string();
            writeln!(state.out, "-- {}", date.get(..10).unwrap_or(&date))?;
            state.day = page.day;
        }
        state.out.write_all(&page.lines)?;
        state.out.flush()?;
        let Printed { calls, flows, events } = std::mem::take(&mut page.printed);
        state.printed.calls += calls;
        state.printed.flows += flows;
        state.printed.events += events;
        page.lines.clear();
        Ok(())
    }

    pub(super) fn printed(&self) -> Printed {
        self.lock().printed
    }

    /// A panic elsewhere leaves a line cut short at worst.
    fn lock(&self) -> MutexGuard<'_, State<W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_said_once_whoever_prints_it() {
        let paper = Paper::new(Vec::new());
        for (day, line) in [(20_000, "a\n"), (20_000, "b\n"), (20_001, "c\n"), (20_000, "d\n"), (20_000, "")] {
            let printed = Printed { calls: u64::from(!line.is_empty()), ..Printed::default() };
            let mut page = Page { lines: line.into(), day: Some(day), printed };
            paper.print(&mut page).unwrap();
            paper.print(&mut page).unwrap();
        }
        assert_eq!(paper.printed(), Printed { calls: 4, ..Printed::default() });
        let text = String::from_utf8(paper.0.into_inner().unwrap().out).unwrap();
        assert_eq!(text, "-- 2024-10-04\na\nb\n-- 2024-10-05\nc\n-- 2024-10-04\nd\n");
    }
}
