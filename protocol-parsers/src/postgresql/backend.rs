//! What the server says: which request it answers, and where the answer ends.

use super::parser::{Asked, Count, Encryption, Kind, PostgreSqlParser, more, whole};
use super::wire::{Failure, HEADER, Message};
use crate::sql::{self, error::Values};
use crate::{Body, Field, Input, Key, MessageWriter, ParseError, ParseErrorKind, Part, Status, Step};

const ANSWER: Part = Part::Response(Key::Order);
/// An error is waited for up to this length.
const ERROR: usize = 8 << 10;

/// The answer under way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backend {
    /// What was asked.
    under_way: Option<Kind>,
    /// At least one result is complete.
    completed: bool,
    /// Bytes of the message that began the answer and are still to come.
    pending: usize,
    /// Some of the answer is missing.
    lost: bool,
}

/// How far an answer was read.
struct Progress<'a> {
    /// Bytes of it; may be more than there are where it is a single message.
    used: usize,
    end: Option<End<'a>>,
    completed: bool,
    /// The client is asked for data: it ends that with a Sync of its own, those it has sent count for nothing.
    copy: bool,
    /// The error that ends it is not all there.
    cut: bool,
}

#[derive(Clone, Copy)]
enum End<'a> {
    Completed,
    Failed(Failure<'a>),
    /// The server is ready for the next request.
    Ready,
}

impl Backend {
    pub(super) fn gap(&mut self) {
        self.completed = false;
        self.pending = 0;
        self.lost = self.under_way.is_some();
    }

    /// The client asks for something new. If some of an answer is missing, the client has got the end of it.
    pub(super) fn asked(&mut self) {
        if self.lost {
            *self = Self::default();
        }
    }
}

impl PostgreSqlParser {
    pub(super) fn server(&mut self, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError> {
        if let Some(kind) = self.backend.under_way {
            return self.go_on(kind, input, message);
        }
        let asked = message.context_of_request(Key::Order).and_then(Asked::unpack);
        if let (Some(Kind::Encryption), [letter @ (b'S' | b'N' | b'G'), ..]) =
            (asked.map(|asked| asked.kind), input.bytes)
        {
            return Ok(self.encryption_answer(*letter, message));
        }
        let Some(first) = Message::parse(input.bytes) else { return more(input, HEADER, ParseErrorKind::Length) };
        let skip = Ok(Step::Skip { used: first.length as u64 });
        match first.kind {
            b'Z' => Ok(self.ready(&first, asked, message)),
            b'1' => match asked {
                Some(asked) if asked.kind == Kind::Parse => {
                    self.reach(asked, message);
                    message.response(Key::Order);
                    succeed(message);
                    Ok(whole(&first))
                }
                _ => skip,
            },
            b'E' => self.error(&first, asked, input, message),
            b'R' => match asked {
                Some(asked) if asked.kind == Kind::Startup => self.begin(asked.kind, input, message),
                _ => skip,
            },
            b'T' => match asked {
                Some(asked) if matches!(asked.kind, Kind::Query | Kind::Queries) && self.is_on(asked) => {
                    self.begin(asked.kind, input, message)
                }
                // Of a Describe, or nobody knows.
                _ => skip,
            },
            b'D' | b'C' | b'I' | b's' | b'G' | b'H' | b'W' | b'V' | b'd' | b'c' => match asked {
                Some(Asked { kind: Kind::Parse | Kind::Startup | Kind::Encryption, .. })
                    if self.turns.count == Count::Exact =>
                {
                    // Its answer was lost.
                    message.incomplete();
                    Ok(Step::Unanswered { key: Key::Order })
                }
                Some(Asked { kind: Kind::Parse | Kind::Startup | Kind::Encryption, .. }) => skip,
                Some(asked) => {
                    self.reach(asked, message);
                    self.begin(asked.kind, input, message)
                }
                None if self.turns.count == Count::Exact => skip,
                None => self.begin(Kind::Query, input, message),
            },
            b'2' | b'3' | b'n' | b't' | b'S' | b'K' | b'N' | b'A' | b'v' => skip,
            _ => Err(ParseError::at(ParseErrorKind::UnknownType, 0)),
        }
    }

    /// Whether the server has come to this request, as far as can be known.
    fn is_on(&self, asked: Asked) -> bool {
        self.turns.count != Count::Exact || self.turns.reached(asked.turn)
    }

    /// An answer to this request has come: whatever was counted, its turn is on. Joined late or after a loss, an answer in a pipeline may
    /// still be one to another request.
    fn reach(&mut self, asked: Asked, message: &mut MessageWriter<'_>) {
        self.turns.done = asked.turn;
        if self.turns.count != Count::Exact && matches!(asked.kind, Kind::Parse | Kind::Execute) {
            message.incomplete();
        }
    }

    fn encryption_answer(&mut self, letter: u8, message: &mut MessageWriter<'_>) -> Step {
        self.encryption = match letter {
            b'S' => Encryption::Tls,
            b'G' => Encryption::Gss,
            _ => Encryption::None,
        };
        message.response(Key::Order);
        message.status(Status::Ok);
        message.field(Field::StatusCode, &[letter]);
        Step::Message { used: 1, body: Body::None }
    }

    /// ReadyForQuery: a turn has ended. What still waits in it was passed over because of an error.
    fn ready(&mut self, first: &Message<'_>, asked: Option<Asked>, message: &mut MessageWriter<'_>) -> Step {
        let skip = Step::Skip { used: first.length as u64 };
        let turns = &mut self.turns;
        // With one turn under way there is no doubt which one ends, whatever was lost.
        let alone = turns.sent == turns.done.wrapping_add(1);
        match asked {
            Some(asked) if turns.reached(asked.turn) && asked.kind != Kind::Encryption => {
                if turns.failed {
                    message.attribute("error.type", b"pipeline_aborted");
                    if matches!(asked.kind, Kind::Query | Kind::Queries | Kind::Function) {
                        // It was to end a turn, and did not.
                        turns.done = turns.done.wrapping_add(1);
                    }
                } else if alone && turns.count == Count::Behind {
                    message.incomplete();
                } else {
                    // It ends a turn that was not seen.
                    turns.count = Count::Unknown;
                    return skip;
                }
                if asked.kind == Kind::Parse {
                    self.statements.iter_mut().for_each(|known| known.forget(asked.statement));
                }
                Step::Unanswered { key: Key::Order }
            }
            _ => {
                if turns.done != turns.sent {
                    turns.done = turns.done.wrapping_add(1);
                }
                turns.failed = false;
                if turns.done == turns.sent && asked.is_none() {
                    turns.count = Count::Exact;
                }
                skip
            }
        }
    }

    fn error(
        &mut self,
        first: &Message<'_>,
        asked: Option<Asked>,
        input: Input<'_>,
        message: &mut MessageWriter<'_>,
    ) -> Result<Step, ParseError> {
        if !first.is_whole() && input.more() && first.body.len() < ERROR {
            return more(input, first.length.min(HEADER + ERROR), ParseErrorKind::Cut);
        }
        match asked {
            Some(asked) if self.is_on(asked) => {
                self.reach(asked, message);
                if asked.kind == Kind::Parse {
                    self.statements.iter_mut().for_each(|known| known.forget(asked.statement));
                }
                self.turns.failed = matches!(asked.kind, Kind::Parse | Kind::Execute);
            }
            None if self.turns.count != Count::Exact => {}
            _ => {
                // Of a Bind or Describe without an execute, or the server closes an idle connection.
                self.turns.failed = asked.is_some();
                return Ok(Step::Skip { used: first.length as u64 });
            }
        }
        message.response(Key::Order);
        fail(&Failure::parse(first.body), message);
        if !first.is_whole() && input.then == crate::Then::Gap {
            message.incomplete();
        }
        Ok(whole(first))
    }

    /// The first message of an answer.
    fn begin(&mut self, kind: Kind, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError> {
        message.response(Key::Order);
        self.backend = Backend { under_way: Some(kind), ..Backend::default() };
        let progress = match advance(kind, input) {
            Ok(progress) if progress.used > 0 => progress,
            other => {
                self.backend.under_way = None;
                return match other {
                    Ok(_) => more(input, need(input.bytes), ParseErrorKind::Cut),
                    Err(error) => Err(error),
                };
            }
        };
        let (used, available) = (progress.used, input.bytes.len());
        let ended = self.take(kind, &progress, message);
        Ok(match used.checked_sub(available) {
            Some(rest @ 1..) if ended => Step::Message { used: available, body: Body::Sized(rest as u64) },
            Some(1..) => {
                // The rest of it is a step of its own, as it may be long.
                self.backend.pending = used - HEADER;
                Step::Message { used: HEADER, body: Body::Open }
            }
            _ if ended => Step::Message { used, body: Body::None },
            _ => Step::Message { used, body: Body::Open },
        })
    }

    /// The answer goes on.
    fn go_on(&mut self, kind: Kind, input: Input<'_>, message: &mut MessageWriter<'_>) -> Result<Step, ParseError> {
        if self.backend.pending > 0 {
            let used = core::mem::take(&mut self.backend.pending) as u64;
            return Ok(Step::Part { used, of: ANSWER, last: false });
        }
        let progress = advance(kind, input)?;
        if progress.used == 0 && progress.end.is_none() {
            return more(input, need(input.bytes), ParseErrorKind::Cut);
        }
        let last = self.take(kind, &progress, message);
        Ok(Step::Part { used: progress.used as u64, of: ANSWER, last })
    }

    /// Takes down what some messages of an answer say. Says whether it ends with them.
    fn take(&mut self, kind: Kind, progress: &Progress<'_>, message: &mut MessageWriter<'_>) -> bool {
        self.backend.completed |= progress.completed;
        if progress.copy && kind == Kind::Execute {
            self.turns.sent = self.turns.done;
        }
        let Some(end) = progress.end else {
            if progress.completed {
                message.status(Status::Ok);
            }
            return false;
        };
        self.backend.under_way = None;
        self.backend.lost = false;
        match end {
            End::Failed(failure) => {
                self.turns.failed = kind == Kind::Execute;
                fail(&failure, message);
                if progress.cut {
                    message.incomplete();
                }
            }
            End::Ready if !self.backend.completed && kind != Kind::Startup => message.incomplete(),
            End::Completed | End::Ready => succeed(message),
        }
        true
    }
}

/// How many bytes are wanted to go on.
fn need(bytes: &[u8]) -> usize {
    Message::parse(bytes).map_or(HEADER, |message| message.length.min(HEADER + ERROR))
}

/// Goes through as many messages of an answer as there are.
fn advance(kind: Kind, input: Input<'_>) -> Result<Progress<'_>, ParseError> {
    let mut progress = Progress { used: 0, end: None, completed: false, copy: false, cut: false };
    while let Some(rest) = input.bytes.get(progress.used..) {
        let Some(message) = Message::parse(rest) else {
            if rest.len() >= HEADER && progress.used == 0 {
                return Err(ParseError::at(ParseErrorKind::Length, 1));
            }
            break;
        };
        // A message that reaches beyond what there is makes a step of its own.
        if progress.used > 0 && !message.is_whole() {
            break;
        }
        match message.kind {
            b'Z' => {
                progress.end = Some(End::Ready);
                break;
            }
            b'E' if !message.is_whole() && input.more() && message.body.len() < ERROR => break,
            b'E' => {
                progress.end = Some(End::Failed(Failure::parse(message.body)));
                progress.cut = !message.is_whole() && !input.more();
            }
            b'C' | b'I' | b's' | b'V' if kind != Kind::Queries => progress.end = Some(End::Completed),
            b'C' | b'I' => progress.completed = true,
            b'G' | b'W' => progress.copy = true,
            b'R' | b'T' | b'D' | b'H' | b'd' | b'c' | b'S' | b'K' | b'N' | b'A' | b'v' | b'n' | b't' | b'1' | b'2'
            | b'3' | b's' | b'V' => {}
            _ if progress.used == 0 => return Err(ParseError::at(ParseErrorKind::UnknownType, 0)),
            _ => break,
        }
        progress.used += message.length;
        if progress.end.is_some() {
            break;
        }
    }
    Ok(progress)
}

fn succeed(message: &mut MessageWriter<'_>) {
    message.field(Field::StatusCode, b"00000");
    message.status(Status::Ok);
}

fn fail(failure: &Failure<'_>, message: &mut MessageWriter<'_>) {
    message.field(Field::StatusCode, failure.code);
    // Data that could not be read and words that make no statement are repeated.
    let values = match failure.code {
        [b'2', b'2', ..] | b"42601" => Values::All,
        _ => Values::None,
    };
    sql::error::write(message, failure.text, b'"', values);
    message.status(status_of(failure.code));
}

/// Whose fault an error is, by the class of its SQLSTATE: the request's for features, cardinality, data, constraints, transaction
/// states, statement names, authorization, dependent objects, cursors, databases, schemas, syntax, access and checks of views.
fn status_of(code: &[u8]) -> Status {
    match code.get(..2) {
        Some(b"0A" | b"21" | b"22" | b"23" | b"25" | b"26" | b"28" | b"2B" | b"34" | b"3D" | b"3F" | b"42" | b"44") => {
            Status::ClientError
        }
        _ => Status::ServerError,
    }
}
