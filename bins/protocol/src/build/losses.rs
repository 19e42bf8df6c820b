use super::rows::Rows;
use crate::tables::LOSSES;

/// Something that was not recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Start of the span in which it was lost, in nanoseconds since the Unix epoch.
    pub from_ns: u64,
    /// End of that span.
    pub until_ns: u64,
    /// `ring`, `decode`, `reassembly`, `parser`, `engine`, `queue`, `spool` or `server`.
    pub place: &'static str,
    /// Why, such as the name of the bound that was reached.
    pub reason: &'static str,
    /// How many.
    pub count: u64,
    /// Of what: `packets`, `bytes`, `calls`, `records` …
    pub unit: &'static str,
    /// Interface or file, where one is to blame.
    pub capture: Option<String>,
}

/// Rows of the table `losses`.
pub struct LossesBuilder(Rows);

impl LossesBuilder {
    /// Without rows.
    #[must_use]
    pub fn new() -> Self {
        Self(Rows::new(&LOSSES))
    }

    /// Adds one row.
    pub fn append(&mut self, loss: &Loss) {
        let row = &mut self.0;
        row.time("time", loss.from_ns);
        row.instant("until_ns", loss.until_ns);
        row.name("place", loss.place);
        row.name("reason", loss.reason);
        row.u64("count", loss.count);
        row.name("unit", loss.unit);
        row.name("capture", loss.capture.as_deref());
        row.end_row();
    }
}

builder!(LossesBuilder);

impl Default for LossesBuilder {
    fn default() -> Self {
        Self::new()
    }
}
