//! `metaflow-agent replay`: what is in capture files.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flow_core::Options;
use metaflow_packet_capture::{CaptureFile, OpenError, ReadError};

use crate::args::ReplayOptions;
use crate::failure::{Failure, say};
use crate::output::{Printing, Source};
use crate::packets::as_input;
use crate::pipeline::Pipeline;
use crate::place::Places;
use crate::sink::{End, Observed, Outlet};
use crate::traced::{TracedTotals, recorded};
use crate::uplink::{Uplink, UplinkOptions};

/// Prints what is in the files, or sends it to a server.
pub(crate) fn replay(options: &ReplayOptions) -> Result<(), Failure> {
    match &options.server {
        Some(server) => send(options, server),
        None => print(options),
    }
}

fn print(options: &ReplayOptions) -> Result<(), Failure> {
    let has_events = options.files.iter().any(|file| recorded::open(file).is_some());
    let source = if has_events { Source::Kernel } else { Source::Packets };
    let mut printing = match Printing::stdout(options.output, options.kind, None, source).map_err(End::from) {
        Ok(printing) => printing,
        Err(End::Enough) => return Ok(()),
        Err(End::Failed(failure)) => return Err(failure),
    };
    match read_all(options, &mut printing, !io::stdout().is_terminal()) {
        Err(End::Failed(failure)) => Err(failure),
        Ok(()) | Err(End::Enough) => Ok(()),
    }
}

fn send(options: &ReplayOptions, server: &str) -> Result<(), Failure> {
    let uplink = Uplink::start(server, UplinkOptions::replay(options.patience))?;
    let read = read_all(options, &mut uplink.entrance(), true);
    // What was read before a damage is sent all the same.
    let stored = uplink.finish()?;
    say(format_args!("{stored} records stored by {server}"));
    match read {
        Err(End::Failed(failure)) => Err(failure),
        Ok(()) | Err(End::Enough) => Ok(()),
    }
}

/// Reads every file. What is wrong with one is said and does not keep from reading the others.
fn read_all(options: &ReplayOptions, outlet: &mut impl Outlet, progress: bool) -> Result<(), End> {
    let mut progress = Progress::new(progress);
    let mut failure = None;
    let mut found = 0;
    for (number, file) in options.files.iter().enumerate() {
        outlet.begin();
        let (followed, read) = read(file, engine_options(options, number), outlet, &mut progress)?;
        progress.clear();
        found += followed;
        if let Err(wrong) = read {
            say(&wrong);
            failure.get_or_insert(wrong.said());
        }
    }
    match failure {
        Some(failure) => Err(End::Failed(failure)),
        None if found > 0 => Ok(()),
        None => Err(End::Failed(Failure::nothing("nothing found: no TCP, UDP or ICMP packet is in there"))),
    }
}

fn engine_options(options: &ReplayOptions, number: usize) -> Options {
    let mut engine = Options::default();
    // A file may hold what several interfaces saw of one conversation.
    engine.interface_in_key = false;
    // Numbers of conversations and calls differ between files.
    engine.shard = (number % 256) as u8;
    engine.metrics = options.server.is_some();
    if let Some(parsers) = &mut engine.parsers {
        parsers.redact = !options.no_redact;
    }
    engine
}

/// Reads one file: how many of its packets belong to conversations, and what is wrong with it. An error is about the outlet.
fn read(
    path: &Path,
    options: Options,
    outlet: &mut impl Outlet,
    progress: &mut Progress,
) -> Result<(u64, Result<(), Failure>), End> {
    if let Some(recording) = recorded::open(path) {
        let (TracedTotals { engine, texts_cut, .. }, read) = recorded::read(recording, &options, outlet.sink())?;
        outlet.end(&Observed { engines: &[engine], texts_cut, ..Observed::default() })?;
        return Ok((engine.engine.streams_opened, read));
    }
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let mut file = match CaptureFile::open(path) {
        Ok(file) => file,
        Err(error) => return Ok((0, Err(not_opened(error)))),
    };
    let mut pipeline = Pipeline::new(options, Arc::new(Places::File(name)), outlet.sink());
    let mut times = None;
    let read = loop {
        progress.show(&file);
        match file.next_batch() {
            Ok(Some(batch)) => {
                let time = |at: usize| batch.get(at).map_or(0, |packet| packet.time_ns);
                times = Some((times.map_or_else(|| time(0), |(first, _)| first), time(batch.len() - 1)));
                pipeline.feed(batch.iter().map(as_input))?;
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(not_read(&error)),
        }
        // What comes through a pipe is looked at as it comes.
        if file.progress().total.is_none() {
            pipeline.pause()?;
        }
    };
    pipeline.finish()?;
    let (start_ns, now_ns) = times.unwrap_or_default();
    let totals = pipeline.totals();
    outlet.end(&Observed { start_ns, now_ns, engines: &[totals], ..Observed::default() })?;
    if let Some(truncation) = file.truncation() {
        say(format_args!("warning: {truncation}"));
    }
    Ok((totals.engine.packets_followed, read))
}

fn not_opened(error: OpenError) -> Failure {
    match &error {
        OpenError::Open { source, .. } => of_system(error.to_string(), source),
        OpenError::Read(error) => not_read(error),
        _ => Failure::damaged(error.to_string()),
    }
}

fn not_read(error: &ReadError) -> Failure {
    match error {
        ReadError::Io { source, .. } => of_system(error.to_string(), source),
        _ => Failure::damaged(error.to_string()),
    }
}

fn of_system(text: String, source: &io::Error) -> Failure {
    match source.kind() {
        io::ErrorKind::PermissionDenied => Failure::permission(text),
        io::ErrorKind::NotFound | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory => Failure::usage(text),
        _ => Failure::unavailable(text),
    }
}

/// How far a long file has been read, on a terminal.
struct Progress {
    shown: bool,
    next: Option<Instant>,
}

impl Progress {
    const STEP: Duration = Duration::from_millis(500);

    /// Not while the records themselves go to the terminal.
    fn new(wanted: bool) -> Self {
        let wanted = wanted && io::stderr().is_terminal();
        Self { shown: false, next: wanted.then(|| Instant::now() + Self::STEP) }
    }

    fn show(&mut self, file: &CaptureFile) {
        if self.next.is_none_or(|next| Instant::now() < next) {
            return;
        }
        let progress = file.progress();
        let read = progress.read / 1_000_000;
        let part = progress.total.map(|total| format!(" of {} MB", total / 1_000_000)).unwrap_or_default();
        // Nobody is left to tell that stderr is gone.
        _ = write!(io::stderr(), "\r\x1b[K{read}{part} read");
        self.shown = true;
        self.next = Some(Instant::now() + Self::STEP);
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
