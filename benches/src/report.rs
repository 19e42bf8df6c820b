//! What a suite has measured.

use std::fmt;

/// Figures and ratios with dotted names, such as `flow.mixed.ns_per_packet`.
#[derive(Debug, Default)]
pub struct Report {
    figures: Vec<(String, f64, &'static str)>,
    ratios: Vec<(String, f64)>,
    notes: Vec<String>,
}

impl Report {
    /// Adds a figure with its unit.
    pub fn figure(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.figures.push((name.into(), value, unit));
    }

    /// Adds a ratio: the peer's cost over ours in the same run, so that above 1 is better.
    pub fn ratio(&mut self, name: impl Into<String>, peer: f64, ours: f64) {
        self.ratios.push((name.into(), peer / ours));
    }

    /// Adds a remark, such as a peer that is not installed.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// The figures.
    pub fn figures(&self) -> impl Iterator<Item = (&str, f64, &str)> {
        self.figures.iter().map(|(name, value, unit)| (name.as_str(), *value, *unit))
    }

    /// The ratios.
    pub fn ratios(&self) -> impl Iterator<Item = (&str, f64)> {
        self.ratios.iter().map(|(name, value)| (name.as_str(), *value))
    }
}

impl fmt::Display for Report {
    /// Plain lines for programs, then a table for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value, unit) in &self.figures {
            writeln!(f, "figure {name} {value:.3} {unit}")?;
        }
        for (name, value) in &self.ratios {
            writeln!(f, "ratio {name} {value:.3}")?;
        }
        let width = self
            .figures
            .iter()
            .map(|(name, ..)| name.len())
            .chain(self.ratios.iter().map(|(name, _)| name.len()))
            .max();
        let width = width.unwrap_or(0);
        writeln!(f)?;
        for (name, value, unit) in &self.figures {
            writeln!(f, "  {name:width$}  {value:>14.2} {unit}")?;
        }
        for (name, value) in &self.ratios {
            writeln!(f, "  {name:width$}  {value:>14.2} times")?;
        }
        for note in &self.notes {
            writeln!(f, "  note: {note}")?;
        }
        Ok(())
    }
}
