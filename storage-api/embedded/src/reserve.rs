use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Disk;

const NAME: &str = "RESERVE";
/// Several manifests of a large store.
const BYTES: usize = 4 << 20;

/// Space on the disk that is given up when it is full, so that the manifest can still be replaced: only a new manifest lets
/// old files be removed.
#[derive(Debug, Default)]
pub(crate) struct Reserve(AtomicBool);

impl Reserve {
    /// Takes the space, if it is not taken yet. That it cannot be had is no error: the store works without it.
    pub(crate) fn take(&self, disk: &dyn Disk, root: &Path) {
        if self.0.swap(true, Ordering::AcqRel) {
            return;
        }
        let path = root.join(NAME);
        let taken = || -> io::Result<()> {
            // What is there may be cut short, so it is written again; zeros would take no space on some file systems.
            let mut file = disk.create(&path)?;
            let line: Vec<u8> = (0..=255_u8).cycle().take(64 << 10).collect();
            for part in 0..BYTES / line.len() {
                file.write_all(&(part as u64).to_le_bytes())?;
                file.write_all(&line[8..])?;
            }
            file.sync()
        };
        if taken().is_err() {
            self.use_up(disk, root);
        }
    }

    /// Gives the space free.
    pub(crate) fn use_up(&self, disk: &dyn Disk, root: &Path) {
        // If it cannot be removed there is no more space, and whoever needed it says so.
        let _ = disk.remove(&root.join(NAME));
        self.0.store(false, Ordering::Release);
    }
}
