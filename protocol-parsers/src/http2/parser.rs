//! Reads an HTTP/2 connection frame by frame.

use alloc::vec::Vec;

use super::head::{self, Head, Kind};
use super::hpack::{Decoder, Flaw};
use super::recognise;
use super::streams::Streams;
use super::wire::{BlockPlace, FrameHeader, HEADER, PREFACE, kind};
use crate::{
    Body, Input, Key, Limits, MessageWriter, ParseError, ParseErrorKind, Parser, Part, Protocol, Resync, Side, Step,
    Then,
};

/// Where one direction stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Before a frame.
    #[default]
    Frame,
    /// In a header block that was too long to be read to its end.
    LongBlock(LongBlock),
    /// In a frame of data whose messages are counted.
    Messages(Data),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LongBlock {
    stream: u32,
    /// Bytes of the frame that are left.
    left: u64,
    /// What they belong to.
    of: Option<Part>,
    /// The frame ends the block, the block the message.
    ends_headers: bool,
    ends_stream: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Data {
    stream: u32,
    /// Bytes of the frame that are left: data, and padding behind it.
    left: u32,
    padding: u32,
    ends_stream: bool,
}

#[derive(Debug)]
struct Lane {
    phase: Phase,
    /// Position of the frame at which an incomplete header block ends so far.
    scanned: usize,
    headers: Decoder,
}

#[derive(Debug)]
pub(super) struct Http2Parser {
    client: Lane,
    server: Lane,
    streams: Streams,
    /// The highest stream id so far.
    highest: u32,
    requests: Requests,
}

/// What tells whether a loss has hit a request.
#[derive(Clone, Copy, Debug, Default)]
struct Requests {
    /// Stream id of the last one.
    last: u32,
    /// Bytes were lost since.
    lost: bool,
    /// The client also sends trailers.
    trailers: bool,
}

/// A header block and what of it is there.
#[derive(Clone, Copy)]
struct Block {
    header: FrameHeader,
    place: BlockPlace,
    /// Bytes that it and its frame headers take, of those that are there.
    used: usize,
    /// If the block goes on behind them: bytes of the last frame that are left, and whether that one ends the block.
    behind: Option<(u64, bool)>,
}

impl Parser for Http2Parser {
    fn parse(&mut self, from: Side, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError> {
        match self.lane(from).phase {
            Phase::Frame => self.frame(from, input, message),
            Phase::LongBlock(block) => self.rest_of_block(from, input, block),
            Phase::Messages(data) => Ok(self.messages(from, input, data, message)),
        }
    }

    fn gap(&mut self, from: Side) {
        let lane = self.lane(from);
        lane.phase = Phase::Frame;
        lane.scanned = 0;
        match from {
            // The next request will tell.
            Side::Client => self.requests.lost = true,
            // What the lost blocks put into the table is unknown, and with it what is where.
            Side::Server => lane.headers.forget(),
        }
        self.streams.lose(from);
    }

    fn resync(&mut self, from: Side, input: &[u8]) -> Resync {
        recognise::find_frame(from, input, self.highest)
    }

    fn memory(&self) -> usize {
        size_of::<Self>() + self.client.headers.memory() + self.server.headers.memory() + self.streams.memory()
    }
}

impl Http2Parser {
    pub(super) fn new(limits: &Limits) -> Self {
        let lane = || Lane { phase: Phase::Frame, scanned: 0, headers: Decoder::new(limits.header_table_bytes) };
        Self {
            client: lane(),
            server: lane(),
            streams: Streams::new(limits.counted_streams),
            highest: 0,
            requests: Requests::default(),
        }
    }

    fn lane(&mut self, side: Side) -> &mut Lane {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    fn frame(&mut self, from: Side, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError> {
        if from == Side::Client && input.bytes.starts_with(PREFACE) {
            return Ok(Step::Skip { used: PREFACE.len() as u64 });
        }
        if from == Side::Client && PREFACE.starts_with(input.bytes) {
            return Ok(Step::NeedMore { at_least: PREFACE.len() });
        }
        let Some(header) = FrameHeader::parse(input.bytes) else { return Ok(Step::NeedMore { at_least: HEADER }) };
        header.check()?;
        self.highest = self.highest.max(header.stream);
        match header.kind {
            kind::DATA => self.data(from, input, header, message),
            kind::HEADERS => self.block(from, input, message),
            kind::PUSH_PROMISE if from == Side::Server => self.block(from, input, message),
            kind::PUSH_PROMISE => Err(ParseError::at(ParseErrorKind::State, 3)),
            kind::RST_STREAM => Ok(self.reset(from, input, header, message)),
            kind::GOAWAY => Ok(goaway(from, input, header, message)),
            _ => Ok(Step::Skip { used: header.total() as u64 }),
        }
    }

    /// A frame of data. Only of streams that carry messages more than its header is looked at.
    fn data(
        &mut self,
        from: Side,
        input: Input<'_>,
        header: FrameHeader,
        message: &mut MessageWriter<'_>,
    ) -> Result<Step, ParseError> {
        let of = part(from, header.stream);
        let last = header.ends_stream();
        if self.streams.counter(header.stream, from).is_none() {
            return Ok(Step::Part { used: header.total() as u64, of, last });
        }
        let mut used = HEADER;
        let mut padding = 0;
        if header.is_padded() {
            let Some(length) = input.bytes.get(HEADER) else { return Ok(Step::NeedMore { at_least: HEADER + 1 }) };
            padding = u32::from(*length);
            used += 1;
            if padding >= header.length {
                return Err(ParseError::at(ParseErrorKind::Length, HEADER));
            }
        }
        let left = header.length - u32::from(header.is_padded());
        if left > 0 {
            let data = Data { stream: header.stream, left: left - padding, padding, ends_stream: last };
            self.lane(from).phase = Phase::Messages(data);
        } else if last && from == Side::Server {
            self.streams.end(header.stream, message);
        }
        Ok(Step::Part { used: used as u64, of, last: last && left == 0 })
    }

    /// Bytes within a frame of data.
    fn messages(&mut self, from: Side, input: Input<'_>, mut data: Data, message: &mut MessageWriter<'_>) -> Step {
        let left = u64::from(data.left);
        let counter = self.streams.counter(data.stream, from);
        let mut used = counter.map_or(left, |counter| counter.take(input.bytes, left));
        data.left -= used as u32;
        let ended = data.left == 0;
        if ended {
            used += u64::from(data.padding);
            self.lane(from).phase = Phase::Frame;
            if data.ends_stream && from == Side::Server {
                self.streams.end(data.stream, message);
            }
        } else {
            self.lane(from).phase = Phase::Messages(data);
        }
        Step::Part { used, of: part(from, data.stream), last: ended && data.ends_stream }
    }

    /// A header block with the frames it is spread over.
    fn block(&mut self, from: Side, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError> {
        let limit = message.options().limits.message_bytes;
        let bytes = input.bytes.get(..limit).unwrap_or(input.bytes);
        // A limit that other messages have used up in part is none for this one.
        let may_wait = input.then != Then::Gap && bytes.len() < limit;
        let block = match self.lane(from).collect(bytes)? {
            Ok(block) if block.behind.is_none() || !may_wait => block,
            Ok(block) => return Ok(Step::NeedMore { at_least: wanted(&block, bytes.len()) }),
            Err(_) if !may_wait => return Err(ParseError::at(ParseErrorKind::Cut, bytes.len())),
            Err(at_least) => return Ok(Step::NeedMore { at_least }),
        };
        self.lane(from).scanned = 0;
        let there = bytes.get(..block.used).unwrap_or_default();
        let end = (block.header.total() - block.place.padding).min(there.len());
        let first = there.get(HEADER + block.place.start..end).unwrap_or_default();
        if there.len() <= block.header.total() {
            return Ok(self.read_block(from, &block, first, message));
        }
        Ok(self.read_block(from, &block, &join(there, first, block.header.total()), message))
    }

    fn read_block(&mut self, from: Side, block: &Block, text: &[u8], message: &mut MessageWriter<'_>) -> Step {
        let Block { header, place: BlockPlace { promised, .. }, used, behind } = *block;
        let stream = promised.unwrap_or(header.stream);
        let asks = from == Side::Client || promised.is_some();
        let whole = behind.is_none();
        let last = header.ends_stream();
        if from == Side::Client && core::mem::take(&mut self.requests.lost) {
            // Clients count their streams up: if this is the next one, no request was lost, and the table is as it was.
            let next = stream == self.requests.last + 2 && !self.requests.trailers;
            if !next {
                self.client.headers.forget();
            }
        }
        let lane = self.lane(from);
        let mut head = Head::new(message, asks);
        let result = lane.headers.decode(text, |header| head.take(header, stream));
        let carries_messages = head.carries_messages();
        let kind = match result {
            Ok(()) => Some(head.finish(stream, whole, last)),
            Err(Flaw::Cut) if !whole => Some(head.finish(stream, false, last)),
            Err(_) => None,
        };
        message.stats.header_entries_dropped += lane.headers.take_dropped();
        if !whole || kind.is_none() {
            lane.headers.forget();
        }
        let key = Key::Id(u64::from(stream));
        let of = part(from, stream);
        let mut rest = Some(of);
        let step = match kind {
            Some(Kind::Request) if promised.is_some() => {
                message.promise(key);
                rest = None;
                Step::Message { used, body: Body::None }
            }
            Some(Kind::Request) => {
                message.request(key);
                self.requests.last = stream;
                if carries_messages {
                    message.stats.streams_uncounted += u64::from(self.streams.begin(stream));
                }
                Step::Message { used, body: if last && whole { Body::None } else { Body::Open } }
            }
            Some(Kind::Response) if last && whole => {
                self.streams.end(stream, message);
                Step::Message { used, body: Body::None }
            }
            Some(Kind::Response) => Step::Message { used, body: Body::Open },
            Some(Kind::Trailers) if asks || !last || !whole => {
                self.requests.trailers |= asks;
                Step::Part { used: used as u64, of, last: last && whole }
            }
            Some(Kind::Trailers) => {
                self.streams.end(stream, message);
                Step::End { used, of }
            }
            Some(Kind::Interim) | None => {
                message.stats.parse_errors += u64::from(kind.is_none());
                rest = None;
                Step::Skip { used: used as u64 }
            }
        };
        if let Some((left, ends_headers)) = behind {
            let block = LongBlock { stream: header.stream, left, of: rest, ends_headers, ends_stream: last };
            self.lane(from).phase = Phase::LongBlock(block);
        }
        step
    }

    /// The rest of a header block that was too long, frame by frame.
    fn rest_of_block(&mut self, from: Side, input: Input<'_>, mut block: LongBlock) -> Result<Step, ParseError> {
        let mut used = block.left;
        if used == 0 {
            let Some(header) = FrameHeader::parse(input.bytes) else { return Ok(Step::NeedMore { at_least: HEADER }) };
            if header.kind != kind::CONTINUATION || header.stream != block.stream {
                return Err(ParseError::at(ParseErrorKind::State, 3));
            }
            block.ends_headers = header.ends_headers();
            used = header.total() as u64;
        }
        block.left = 0;
        let lane = self.lane(from);
        lane.phase = if block.ends_headers { Phase::Frame } else { Phase::LongBlock(block) };
        Ok(match block.of {
            Some(of) => Step::Part { used, of, last: block.ends_headers && block.ends_stream },
            None => Step::Skip { used },
        })
    }

    fn reset(&mut self, from: Side, input: Input<'_>, header: FrameHeader, message: &mut MessageWriter<'_>) -> Step {
        let used = header.total();
        let Some(code) = number(input.bytes, HEADER) else { return Step::NeedMore { at_least: used } };
        let of = part(from, header.stream);
        if code != 0 {
            head::write_reset(message, from, "RST_STREAM", code);
            if message.protocol_of_call(of).is_some_and(|protocol| protocol != Protocol::HTTP2) {
                head::write_grpc_reset(message, code);
            }
        }
        self.streams.end(header.stream, message);
        Step::End { used, of }
    }
}

impl Lane {
    /// Puts together a header block; `Err` with the bytes there must be if not even its beginning is there.
    fn collect(&mut self, bytes: &[u8]) -> Result<Result<Block, usize>, ParseError> {
        let Some(header) = FrameHeader::parse(bytes) else { return Ok(Err(HEADER)) };
        let payload = bytes.get(HEADER..).unwrap_or_default();
        let Some(place) = BlockPlace::parse(&header, payload)? else { return Ok(Err(header.total())) };
        let mut frame = header;
        let mut position = 0;
        if self.scanned > 0 {
            // All before this frame is known to be the same block.
            position = self.scanned;
            frame = continuation(bytes, position, header.stream)?.unwrap_or(header);
        }
        let behind = loop {
            let end = position + frame.total();
            if end > bytes.len() {
                self.scanned = position;
                break Some(((end - bytes.len()) as u64, frame.ends_headers()));
            }
            if frame.ends_headers() {
                position = end;
                break None;
            }
            let Some(next) = continuation(bytes, end, header.stream)? else {
                self.scanned = position;
                break Some((0, false));
            };
            position = end;
            frame = next;
        };
        let used = if behind.is_none() { position } else { bytes.len() };
        Ok(Ok(Block { header, place, used, behind }))
    }
}

/// The bytes there must be before a block that goes on makes sense to be looked at again.
fn wanted(block: &Block, there: usize) -> usize {
    match block.behind {
        Some((0, _)) | None => there + 1,
        Some((left, _)) => there + usize::try_from(left).unwrap_or(1),
    }
}

/// The header of the CONTINUATION frame at `position`; `None` if it is not all there.
fn continuation(bytes: &[u8], position: usize, stream: u32) -> Result<Option<FrameHeader>, ParseError> {
    let Some(frame) = bytes.get(position..).and_then(FrameHeader::parse) else { return Ok(None) };
    if frame.kind == kind::CONTINUATION && frame.stream == stream {
        Ok(Some(frame))
    } else {
        Err(ParseError::at(ParseErrorKind::State, position + 3))
    }
}

/// The fragments of a block behind each other: the first one, and those of the frames from `position` on.
fn join(bytes: &[u8], first: &[u8], mut position: usize) -> Vec<u8> {
    let mut joined = first.to_vec();
    while let Some(frame) = bytes.get(position..).and_then(FrameHeader::parse) {
        let end = position + frame.total();
        joined.extend_from_slice(bytes.get(position + HEADER..end.min(bytes.len())).unwrap_or_default());
        position = end;
    }
    joined
}

/// The other side will not look at streams above an id: their calls end, one a step, before the frame itself is passed over.
fn goaway(from: Side, input: Input<'_>, header: FrameHeader, message: &mut MessageWriter<'_>) -> Step {
    let (Some(highest), Some(code)) = (number(input.bytes, HEADER), number(input.bytes, HEADER + 4)) else {
        return Step::NeedMore { at_least: HEADER + 8 };
    };
    let highest = u64::from(highest & 0x7fff_ffff);
    match message.find_unanswered(|id| id > highest && id % 2 == 1) {
        Some(Key::Id(id)) if from == Side::Server => {
            head::write_reset(message, from, "GOAWAY", code);
            Step::End { used: 0, of: Part::Response(Key::Id(id)) }
        }
        _ => Step::Skip { used: header.total() as u64 },
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk::<4>().map(|four| u32::from_be_bytes(*four))
}

fn part(from: Side, stream: u32) -> Part {
    let key = Key::Id(u64::from(stream));
    match from {
        Side::Client => Part::Request(key),
        Side::Server => Part::Response(key),
    }
}
