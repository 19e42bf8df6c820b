//! Events that were recorded, read as if they came out of the kernel now.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use ebpf_tracer::{Clock, Entry, Recording, RecordingError};
use flow_core::Options;

use super::TracedTotals;
use super::following::Following;
use super::happened::Happened;
use super::heads::Heads;
use crate::failure::Failure;
use crate::sink::{End, Sink};
use crate::uplink::Exclusions;

/// Records that are taken in before what they gave is handed on.
const BATCH: usize = 4096;

/// What a recording begins with.
const MAGIC: &[u8] = b"MFEVENTS";

/// The file, if it is a recording of events.
pub(crate) fn open(path: &Path) -> Option<File> {
    let mut file = File::open(path).ok()?;
    let mut begin = [0; MAGIC.len()];
    file.read_exact(&mut begin).ok().filter(|()| begin == MAGIC)?;
    file.rewind().ok().map(|()| file)
}

/// Reads it to its end, or to where it is damaged; says so then.
pub(crate) fn read(file: File, options: &Options, sink: impl Sink) -> Result<(TracedTotals, Result<(), Failure>), End> {
    let mut recording = match Recording::new(BufReader::new(file)) {
        Ok(recording) => recording,
        Err(error) => return Ok((TracedTotals::default(), Err(not_read(&error)))),
    };
    let mut following =
        Following::new(options, Clock::default(), sink, true, None, Exclusions::default(), Heads::default());
    // As it was live: turn by turn, each of which ends with a time and what was looked up then.
    let (mut records, mut is_over) = (0_usize, false);
    let read = loop {
        let entry = recording.next();
        let begins_turn = matches!(entry, Ok(Some(Entry::Record(_) | Entry::Clock(_))));
        if begins_turn && (is_over || records == BATCH) {
            (records, is_over) = (0, false);
            following.hand_on()?;
            tell(&mut following)?;
        }
        match entry {
            Ok(Some(Entry::Record(record))) => {
                records += 1;
                _ = following.take(record);
            }
            Ok(Some(Entry::Clock(clock))) => following.set_clock(clock),
            Ok(Some(entry)) => {
                is_over |= matches!(entry, Entry::Time(_));
                following.tracer.replay(entry);
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(not_read(&error)),
        }
    };
    following.hand_on()?;
    following.finish()?;
    tell(&mut following)?;
    following.flush()?;
    if recording.is_cut() {
        crate::failure::say("warning: the recording ends within an entry");
    }
    let (engine, tracer, texts_cut) = (following.totals(), following.tracer.stats(), following.texts_cut);
    Ok((TracedTotals { engine, tracer, texts_cut, ..TracedTotals::default() }, read))
}

/// Which libraries the processes had is not recorded.
fn tell(following: &mut Following<impl Sink>) -> Result<(), End> {
    while let Some(connection) = following.poll_opaque() {
        following.happened.push(Happened::unseen(&connection, None));
    }
    following.tell()
}

fn not_read(error: &RecordingError) -> Failure {
    match error {
        RecordingError::Io(source) => Failure::from_io("cannot read the recording", source),
        _ => Failure::damaged(error.to_string()),
    }
}
