//! Reads a Redis connection command by command and reply by reply.

use memchr::memmem;

use super::command::{self, Replies};
use super::outcome::{failed, ok};
use super::wire::{self, Line, Name, Progress, Scan};
use crate::{
    Body, Field, Input, Key, MessageWriter, Next, ParseError, ParseErrorKind, Parser, Part, Resync, Side, Status, Step,
};

/// Kept with a request: the reply is a row of confirmations, one per channel; how many stands above these bits.
const SUBSCRIPTION: u64 = 1;
/// Kept with a request: its reply begins a stream of commands of another kind.
const REPLICATION: u64 = 2;
const MONITOR: u64 = 3;
const KIND_BITS: u32 = 8;
/// A reply up to this length is waited for where its text is needed.
const NEEDED: u64 = 1024;
/// A string longer than this is not waited for where it is not shown.
const LONG: u64 = 4096;

/// After a loss, a line that is not complete is waited for up to this length.
const LONGEST_LINE: usize = 512;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RedisParser {
    lanes: [Lane; 2],
    /// Confirmations of the subscription being answered that are still to come.
    confirmations: u64,
    /// Bytes were lost within a reply. What stands in it may look like a reply: the next one comes behind the client's next command.
    within_reply: bool,
    subscribed: bool,
    replies: Replies,
    /// Bytes of the client were lost while it wanted no replies: it may want some again.
    replies_unsure: bool,
    /// The client asked for a copy of the data.
    replication: bool,
    /// The server copies what others ask it.
    monitor: bool,
    opaque: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Lane {
    /// Elements still to come of a value whose beginning was reported, and the message they belong to.
    left: u64,
    of: Option<Part>,
    /// How far an incomplete value was looked through.
    scan: Option<Scan>,
}

impl Parser for RedisParser {
    fn parse(&mut self, from: Side, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError> {
        if self.opaque {
            return Ok(Step::Switch { used: 0, to: Next::Opaque });
        }
        match from {
            _ if self.lane(from).left > 0 => self.rest(from, input),
            Side::Client => {
                let step = self.command(input, message)?;
                self.within_reply &= !matches!(step, Step::Message { .. });
                Ok(step)
            }
            Side::Server => self.reply(input, message),
        }
    }

    fn gap(&mut self, from: Side) {
        self.within_reply |= from == Side::Server && self.lane(from).left > 0;
        *self.lane(from) = Lane::default();
        self.confirmations = 0;
        if from == Side::Client && self.replies != Replies::On {
            self.replies_unsure = true;
        }
    }

    fn resync(&mut self, from: Side, input: &[u8]) -> Resync {
        if self.within_reply && from == Side::Server {
            return Resync::Nowhere;
        }
        let begins = |at: usize| {
            let bytes = input.get(at..).unwrap_or_default();
            match (from, bytes.first()) {
                (Side::Client, Some(b'*')) => match wire::command_name(bytes) {
                    Name::Is(name) if command::is_name(name) => Resync::At(at),
                    Name::Perhaps => Resync::Perhaps(at),
                    _ => Resync::Nowhere,
                },
                (Side::Client, _) => match wire::inline_name(bytes) {
                    Name::Is(name) if command::is_known(name) => Resync::At(at),
                    Name::Perhaps if command::begins_known(bytes) => Resync::Perhaps(at),
                    _ => Resync::Nowhere,
                },
                (Side::Server, _) => match Line::parse(bytes) {
                    Ok(Some(_)) => Resync::At(at),
                    Ok(None) if bytes.len() < LONGEST_LINE => Resync::Perhaps(at),
                    _ => Resync::Nowhere,
                },
            }
        };
        if begins(0) != Resync::Nowhere {
            return begins(0);
        }
        // A command or an array behind the end of something else.
        let mut arrays = memmem::find_iter(input, b"\r\n*").map(|at| at + 2);
        arrays.find(|at| matches!(begins(*at), Resync::At(_))).map_or(Resync::Nowhere, Resync::At)
    }

    fn is_as_new(&self) -> bool {
        *self == Self::default()
    }

    fn memory(&self) -> usize {
        size_of::<Self>()
    }
}

impl RedisParser {
    fn lane(&mut self, side: Side) -> &mut Lane {
        let [client, server] = &mut self.lanes;
        match side {
            Side::Client => client,
            Side::Server => server,
        }
    }

    /// Goes through a value whose beginning was reported.
    fn rest(&mut self, from: Side, input: Input<'_>) -> Result<Step, ParseError> {
        let lane = self.lane(from);
        let of = lane.of.unwrap_or(Part::Response(Key::Order));
        let mut scan = Scan { position: 0, left: lane.left };
        let used = match scan.advance(input.bytes)? {
            Progress::Done => scan.position as u64,
            _ if scan.position > 0 => scan.position as u64,
            Progress::String(whole) => {
                scan.left -= 1;
                whole
            }
            Progress::Line if input.more() => return Ok(Step::NeedMore { at_least: input.bytes.len() + 1 }),
            Progress::Line => return Err(ParseError::at(ParseErrorKind::Cut, input.bytes.len())),
        };
        lane.left = scan.left;
        Ok(Step::Part { used, of, last: scan.left == 0 })
    }

    fn command(&mut self, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError> {
        match input.bytes {
            [b'*', ..] => self.array(input, message),
            [b'\r' | b'\n', ..] => Ok(Step::Skip { used: 1 }),
            _ => self.inline(input, message),
        }
    }

    fn array(&mut self, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError> {
        let lane = self.lane(Side::Client);
        let mut scan = lane.scan.take().unwrap_or(Scan::START);
        let progress = scan.advance(input.bytes)?;
        // Long values need not be waited for where they are not shown.
        let (redact, limit) = (message.options().redact, message.options().limits.text_bytes);
        let enough =
            redact && matches!(progress, Progress::String(LONG..)) && command::is_shown(wire::strings(input.bytes));
        if progress != Progress::Done && input.more() && !enough {
            lane.scan = Some(scan);
            return Ok(need_more(input, &scan, progress));
        }
        let mut strings = wire::strings(input.bytes);
        let Some(name) = strings.next() else {
            // An empty array is no command.
            return match progress {
                Progress::Done => Ok(Step::Skip { used: scan.position as u64 }),
                _ => Err(ParseError::at(ParseErrorKind::Cut, input.bytes.len())),
            };
        };
        if !command::is_name(name) {
            return Err(ParseError::at(ParseErrorKind::UnknownType, 0));
        }
        let count = match Line::parse(input.bytes) {
            Ok(Some((Line::Many(count), _))) => count,
            _ => 1,
        };
        let (first, second) = (strings.next(), strings.next());
        self.write(name, [first, second], count - 1, message);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        message
            .field_with(Field::Resource, |text| command::write(text, wire::strings(input.bytes), count, redact, limit));
        if progress == Progress::Done {
            return Ok(Step::Message { used: scan.position, body: Body::None });
        }
        if !enough {
            message.incomplete();
        }
        *self.lane(Side::Client) = Lane { left: scan.left, of: Some(Part::Request(Key::Order)), scan: None };
        Ok(Step::Message { used: scan.position, body: Body::Open })
    }

    fn inline(&mut self, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError> {
        let Some(end) = memchr::memchr(b'\n', input.bytes) else { return need_line(input) };
        let line = input.bytes.get(..end).unwrap_or_default().trim_ascii();
        let words = || line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let Some(name) = words().next() else { return Ok(Step::Skip { used: end as u64 + 1 }) };
        if !command::is_name(name) {
            return Err(ParseError::at(ParseErrorKind::UnknownType, 0));
        }
        let mut rest = words().skip(1);
        let (first, second) = (rest.next(), rest.next());
        self.write(name, [first, second], words().count() as u64 - 1, message);
        if message.options().redact {
            // Words within quotes are parts of values, so it does no harm to show each as one.
            let limit = message.options().limits.text_bytes;
            message.field_with(Field::Resource, |text| command::write(text, words(), 0, true, limit));
        } else {
            message.field(Field::Resource, line);
        }
        Ok(Step::Message { used: end + 1, body: Body::None })
    }

    /// What a command says, however it was written.
    fn write(&mut self, name: &[u8], arguments: [Option<&[u8]>; 2], count: u64, message: &mut MessageWriter<'_>) {
        let is = |word: &[u8]| name.eq_ignore_ascii_case(word);
        let argument = |at: usize, word: &[u8]| {
            arguments.get(at).copied().flatten().is_some_and(|argument| argument.eq_ignore_ascii_case(word))
        };
        let reply = |mode: &[u8]| is(b"CLIENT") && argument(0, b"REPLY") && argument(1, mode);
        if reply(b"ON") {
            self.replies = Replies::On;
        } else if reply(b"OFF") {
            self.replies = Replies::Off;
        } else if is(b"RESET") {
            self.replies = Replies::On;
            self.monitor = false;
        }
        self.replies_unsure &= self.replies != Replies::On;
        if self.replies_unsure {
            message.incomplete();
        }
        // A replica that tells how far it has come is never answered.
        let tells = is(b"REPLCONF") && argument(0, b"ACK");
        if self.replies == Replies::On && !reply(b"SKIP") && !tells {
            message.request(Key::Order);
        } else {
            message.one_way();
            message.status(Status::Ok);
        }
        if self.replies != Replies::Off {
            self.replies = if reply(b"SKIP") { Replies::Skip } else { Replies::On };
        }
        for field in [Field::RequestType, Field::Endpoint] {
            message.field_with(field, |text| {
                let start = text.len();
                crate::fields::push_escaped(text, name, usize::MAX);
                text.get_mut(start..).unwrap_or_default().make_ascii_uppercase();
            });
        }
        let subscription =
            [&b"SUBSCRIBE"[..], b"PSUBSCRIBE", b"SSUBSCRIBE", b"UNSUBSCRIBE", b"PUNSUBSCRIBE", b"SUNSUBSCRIBE"]
                .iter()
                .any(|word| is(word));
        if subscription {
            self.subscribed = true;
            message.context(SUBSCRIPTION | count.max(1) << KIND_BITS);
        } else if is(b"PSYNC") || is(b"SYNC") {
            self.replication = true;
            message.context(REPLICATION);
        } else if is(b"MONITOR") {
            message.context(MONITOR);
        }
    }

    fn reply(&mut self, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError> {
        let replication = self.replication && message.context_of_request(Key::Order) == Some(REPLICATION);
        if replication {
            match input.bytes {
                // The server is still writing down its data, and says that it is alive.
                [b'\n', ..] => return Ok(Step::Skip { used: 1 }),
                // The data come without a length, up to a mark that this line names.
                [b'$', b'E', ..] => {
                    let Some(end) = memchr::memchr(b'\n', input.bytes) else { return need_line(input) };
                    self.opaque = true;
                    ok(message);
                    return Ok(Step::Message { used: end + 1, body: Body::None });
                }
                _ => {}
            }
        }
        let Some((line, length)) = Line::parse(input.bytes)? else { return need_line(input) };
        if self.replies_unsure && message.context_of_request(Key::Order).is_none() && !matches!(line, Line::Push(_)) {
            // The reply to CLIENT REPLY ON, or to what followed it.
            (self.replies, self.replies_unsure) = (Replies::On, false);
        }
        match line {
            Line::Simple(text) => {
                let asked = message.context_of_request(Key::Order);
                // Where nothing is waited for, what looks like a copy is one: MONITOR may have been sent unseen.
                if (self.monitor || asked.is_none()) && command::is_copy(text) {
                    self.monitor = true;
                    return Ok(Step::Skip { used: length as u64 });
                }
                let asked = asked.unwrap_or(0);
                self.monitor |= asked == MONITOR;
                self.opaque = asked == REPLICATION;
                ok(message);
                Ok(Step::Message { used: length, body: Body::None })
            }
            Line::Null => {
                ok(message);
                Ok(Step::Message { used: length, body: Body::None })
            }
            Line::Error(text) => {
                failed(message, text);
                Ok(Step::Message { used: length, body: Body::None })
            }
            Line::BulkError(size) => {
                let Some(text) = input.bytes.get(length..length + size.min(NEEDED) as usize) else {
                    if input.more() {
                        return Ok(Step::NeedMore { at_least: length + size.min(NEEDED) as usize });
                    }
                    failed(message, input.bytes.get(length..).unwrap_or_default());
                    message.incomplete();
                    return Ok(Step::Message { used: length, body: Body::Sized(size + 2) });
                };
                failed(message, text);
                Ok(Step::Message { used: length, body: Body::Sized(size + 2) })
            }
            Line::Bulk(size) if replication => {
                self.opaque = true;
                ok(message);
                Ok(Step::Message { used: length, body: Body::Sized(size) })
            }
            Line::Bulk(size) => {
                ok(message);
                Ok(Step::Message { used: length, body: Body::Sized(size + 2) })
            }
            Line::Many(_) | Line::Push(_) | Line::Attributes(_) => self.aggregate(line, input, message),
        }
    }

    /// An array, set, map or push.
    fn aggregate(
        &mut self,
        line: Line<'_>,
        input: Input<'_>,
        message: &mut MessageWriter<'_>,
    ) -> Result<Step, ParseError> {
        let push = matches!(line, Line::Push(_));
        let waited_for = message.context_of_request(Key::Order).is_some();
        let mut scan = Scan::START;
        let progress = scan.advance(input.bytes)?;
        let count = match line {
            Line::Many(count) | Line::Push(count) => count,
            _ => 0,
        };
        if push || (self.subscribed || !waited_for) && matches!(count, 3..=4) {
            let mut strings = wire::strings(input.bytes);
            let kind = strings.next();
            let channel = strings.next();
            let known = kind.map_or(Kind::None, kind_of);
            let unread = scan.left >= count;
            if (push || known != Kind::None || unread) && progress != Progress::Done && input.more() {
                // What it is can only be told from its beginning, and these are short.
                return Ok(need_more(input, &scan, progress));
            }
            if progress != Progress::Done && count.saturating_sub(scan.left) < 2 {
                // Its kind or its channel is cut.
                message.incomplete();
                if !push && message.context_of_request(Key::Order).is_none() {
                    return Ok(Step::Skip { used: input.bytes.len() as u64 });
                }
            }
            match known {
                // To a subscription that was not seen.
                Kind::Confirmation if !self.subscribed && !push => self.subscribed = true,
                Kind::Confirmation => return Ok(self.confirmation(scan, progress, message)),
                Kind::Message => self.subscribed = true,
                Kind::None => {}
            }
            match known {
                Kind::Message => return Ok(self.pushed(scan, progress, kind, channel, message)),
                Kind::None if push => return Ok(self.pushed(scan, progress, kind, None, message)),
                _ => {}
            }
        }
        ok(message);
        Ok(self.value(scan, progress, Part::Response(Key::Order)))
    }

    fn confirmation(&mut self, scan: Scan, progress: Progress, message: &mut MessageWriter<'_>) -> Step {
        let whole = progress == Progress::Done;
        if self.confirmations > 0 {
            self.confirmations -= 1;
            let last = self.confirmations == 0 && whole;
            *self.lane(Side::Server) = Lane { left: scan.left, of: Some(Part::Response(Key::Order)), scan: None };
            return Step::Part { used: scan.position as u64, of: Part::Response(Key::Order), last };
        }
        let asked = message.context_of_request(Key::Order).unwrap_or(0);
        if asked & 0xff != SUBSCRIPTION {
            // One more than were asked for, such as of an UNSUBSCRIBE without channels.
            return Step::Skip { used: scan.position as u64 };
        }
        ok(message);
        self.confirmations = (asked >> KIND_BITS) - 1;
        if self.confirmations > 0 && whole {
            return Step::Message { used: scan.position, body: Body::Open };
        }
        self.value(scan, progress, Part::Response(Key::Order))
    }

    fn pushed(
        &mut self,
        scan: Scan,
        progress: Progress,
        kind: Option<&[u8]>,
        channel: Option<&[u8]>,
        message: &mut MessageWriter<'_>,
    ) -> Step {
        message.one_way();
        message.status(Status::Ok);
        for field in [Field::RequestType, Field::Endpoint] {
            message.field_with(field, |text| {
                let start = text.len();
                crate::fields::push_escaped(text, kind.unwrap_or_default(), 64);
                text.get_mut(start..).unwrap_or_default().make_ascii_uppercase();
            });
        }
        if let Some(channel) = channel {
            message.field(Field::Resource, channel);
        }
        self.value(scan, progress, Part::Request(Key::Order))
    }

    /// A value of which at least the first line is there.
    fn value(&mut self, scan: Scan, progress: Progress, of: Part) -> Step {
        *self.lane(Side::Server) = Lane { left: scan.left, of: Some(of), scan: None };
        let body = if progress == Progress::Done { Body::None } else { Body::Open };
        Step::Message { used: scan.position, body }
    }
}

/// The line's end is not there.
fn need_line(input: Input<'_>) -> Result<Step, ParseError> {
    if input.more() {
        Ok(Step::NeedMore { at_least: input.bytes.len() + 1 })
    } else {
        Err(ParseError::at(ParseErrorKind::Cut, input.bytes.len()))
    }
}

/// How many bytes make it worth looking again.
fn need_more(input: Input<'_>, scan: &Scan, progress: Progress) -> Step {
    let at_least = match progress {
        Progress::String(whole) => {
            usize::try_from(whole).map_or(usize::MAX, |whole| scan.position.saturating_add(whole))
        }
        _ => input.bytes.len() + 1,
    };
    Step::NeedMore { at_least }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Confirmation,
    Message,
    None,
}

/// What the first string of an unasked array says it is.
fn kind_of(first: &[u8]) -> Kind {
    match first {
        name if command::is_confirmation(name) => Kind::Confirmation,
        name if command::is_message(name) => Kind::Message,
        _ => Kind::None,
    }
}
