//! The workload of the demo, for the benches.

use anyhow::Result;
use xtask::capture::capture;
use xtask::workload::Workload;

use super::{Files, KEPT};

pub(super) fn shop(files: &Files) -> Result<()> {
    let workload = Workload::start()?;
    capture(&files.capture, &workload.ports(), KEPT, || (1..=4).try_for_each(|number| workload.round(number)))
}
