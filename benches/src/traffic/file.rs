//! Traffic in a capture file.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use metaflow_packet_capture::{LinkType, PcapWriter};
use tempfile::NamedTempFile;

use super::{Amount, Tally, Traffic};

/// A capture file with the truth about it.
#[derive(Clone, Debug)]
pub struct CapturedTraffic {
    /// Where it is.
    pub path: PathBuf,
    /// What is in it.
    pub truth: Tally,
    /// Its bytes.
    pub length: u64,
}

impl CapturedTraffic {
    /// Makes the traffic and writes it into this folder, unless it is there from before: the file is named by what is in it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn new(amount: Amount, folder: &Path) -> Result<Self> {
        let mut traffic = Traffic::new(amount);
        let mut content = crc32fast::Hasher::new();
        while let Some((time, frame)) = traffic.next_frame() {
            content.update(&time.to_le_bytes());
            content.update(frame);
        }
        let truth = traffic.truth().clone();
        let path = folder.join(format!("traffic-{}-{:08x}.pcap", truth.packets, content.finalize()));
        if !path.exists() {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            // It has its name when it is whole: a run that is ended leaves nothing that looks like it.
            let mut unfinished = NamedTempFile::new_in(folder)?;
            write(amount, unfinished.as_file_mut()).with_context(|| format!("cannot write {}", path.display()))?;
            unfinished.persist(&path)?;
        }
        let length = fs::metadata(&path)?.len();
        Ok(Self { path, truth, length })
    }
}

fn write(amount: Amount, file: &mut File) -> Result<()> {
    let mut traffic = Traffic::new(amount);
    let output = BufWriter::with_capacity(1 << 20, file);
    let mut writer = PcapWriter::new(output, LinkType::Ethernet)?;
    while let Some((time, frame)) = traffic.next_frame() {
        writer.write(time, frame, frame.len() as u32)?;
    }
    Ok(writer.flush()?)
}
