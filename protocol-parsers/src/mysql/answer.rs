//! Finding the end of an answer, packet by packet.

use super::wire::{self, EOF, ERR, HEADER, LOCAL_INFILE, LONGEST, OK, Packet};
use crate::cursor::Cursor;

/// What comes next of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Expect {
    /// Nothing: no answer is under way.
    #[default]
    Nothing,
    /// The first packet of the answer to this command, or of one more result of it.
    First(u8),
    /// Definitions of so many columns, and then rows.
    Columns(u64),
    /// Rows, or an EOF between columns and rows.
    BetweenColumnsAndRows,
    Rows,
    /// Definitions of so many parameters, then of so many columns of a prepared statement.
    Definitions(u64, u64),
    /// An EOF behind definitions of a prepared statement, if this server sends them; then so many columns.
    BehindDefinitions(u64),
    /// Definitions up to an EOF (field list), or rows (fetch).
    UntilEof,
    /// The client sends a file.
    File,
    /// Events without an end.
    Events,
}

/// How far an answer was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress<'a> {
    /// Bytes of it; may be more than there are.
    pub(super) used: u64,
    /// The packet that ended it.
    pub(super) last: Option<Packet<'a>>,
}

/// Reads answers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Answer {
    pub(super) expect: Expect,
    /// Whether definitions are followed by an EOF, once it is known.
    eof: Option<bool>,
    /// The packet before was as long as one can be: the next one continues it.
    continued: bool,
}

impl Answer {
    /// Goes through as many packets as there are. `more` says that the bytes go on.
    pub(super) fn advance<'a>(&mut self, bytes: &'a [u8], more: bool) -> Progress<'a> {
        let mut used = 0;
        while let Some(packet) = bytes.get(used..).and_then(Packet::parse) {
            let length = HEADER + packet.length;
            // A packet that reaches beyond what there is makes a step of its own.
            let beyond = used > 0 && used + length > bytes.len();
            if more && (beyond || !self.is_enough(&packet)) {
                break;
            }
            let ended = !self.continues(&packet) && self.take(&packet);
            used += length;
            if ended {
                return Progress { used: used as u64, last: Some(packet) };
            }
        }
        // What was waited for may be the last thing there is.
        if used == bytes.len() && more && self.expect == Expect::BehindDefinitions(0) && self.eof.is_none() {
            self.expect = Expect::Nothing;
            return Progress { used: used as u64, last: Some(Packet::default()) };
        }
        Progress { used: used as u64, last: None }
    }

    /// How many bytes are wanted to go on.
    pub(super) fn need(bytes: &[u8]) -> usize {
        Packet::parse(bytes).map_or(HEADER + 1, |packet| HEADER + packet.length.min(1024))
    }

    /// Whether enough of a packet is there to know what it is: rows and definitions by their first byte, the rest whole.
    fn is_enough(&self, packet: &Packet<'_>) -> bool {
        let short = packet.is_whole() || packet.payload.len() >= 1024;
        match (self.expect, packet.payload.first()) {
            _ if short => true,
            (_, None) => false,
            (Expect::Columns(_) | Expect::Definitions(..), _) => true,
            (Expect::Rows | Expect::BetweenColumnsAndRows | Expect::UntilEof | Expect::Events, Some(byte)) => {
                !matches!(*byte, EOF | ERR)
            }
            _ => false,
        }
    }

    /// Whether a packet only continues the one before it.
    fn continues(&mut self, packet: &Packet<'_>) -> bool {
        let continues = self.continued;
        self.continued = packet.length == LONGEST;
        continues
    }

    /// Takes one packet. Says whether the answer ends with it.
    fn take(&mut self, packet: &Packet<'_>) -> bool {
        let first = packet.payload.first().copied();
        let terminator = first == Some(EOF) && packet.length < LONGEST;
        let eof = first == Some(EOF) && packet.length == 5;
        // Only the first byte of a definition needs to be there: nothing else is asked of it.
        if first == Some(ERR) && !matches!(self.expect, Expect::Columns(_) | Expect::Definitions(..)) {
            if wire::is_progress(packet.payload) {
                return false;
            }
            self.expect = Expect::Nothing;
            return true;
        }
        self.expect = match self.expect {
            Expect::First(command) => return self.first(command, packet),
            Expect::Columns(left @ 2..) => Expect::Columns(left - 1),
            Expect::Columns(_) => Expect::BetweenColumnsAndRows,
            Expect::BetweenColumnsAndRows if eof && self.eof != Some(false) => {
                self.eof = Some(true);
                if wire::opens_cursor(packet.payload) { Expect::Nothing } else { Expect::Rows }
            }
            Expect::BetweenColumnsAndRows | Expect::Rows => {
                if self.expect == Expect::BetweenColumnsAndRows {
                    self.eof = Some(false);
                }
                match terminator {
                    true if wire::more_results(packet.payload) => Expect::First(3),
                    true => Expect::Nothing,
                    false => Expect::Rows,
                }
            }
            Expect::Definitions(left @ 2.., columns) => Expect::Definitions(left - 1, columns),
            Expect::Definitions(_, columns) => self.behind_definitions(columns),
            Expect::BehindDefinitions(columns) if eof => {
                self.eof = Some(true);
                definitions(columns)
            }
            Expect::BehindDefinitions(columns) => {
                // A definition where an EOF could be: this server sends none.
                self.eof = Some(false);
                match columns {
                    0 => Expect::Nothing,
                    1 => self.behind_definitions(0),
                    _ => Expect::Definitions(columns - 1, 0),
                }
            }
            Expect::UntilEof if terminator => Expect::Nothing,
            other @ (Expect::UntilEof | Expect::File | Expect::Events | Expect::Nothing) => other,
        };
        if self.expect == Expect::File && first == Some(OK) {
            self.expect = Expect::Nothing;
        }
        self.expect == Expect::Nothing
    }

    fn behind_definitions(&self, columns: u64) -> Expect {
        if self.eof == Some(false) { definitions(columns) } else { Expect::BehindDefinitions(columns) }
    }

    fn first(&mut self, command: u8, packet: &Packet<'_>) -> bool {
        let mut cursor = Cursor(packet.payload);
        self.expect = match (command, cursor.byte()) {
            // A text, and nothing else.
            (9, _) => Expect::Nothing,
            (18 | 30, _) => Expect::Events,
            (4 | 28, Some(EOF)) => Expect::Nothing,
            (4 | 28, _) => Expect::UntilEof,
            (22, Some(OK)) => {
                let statement = cursor.number(4);
                let columns = cursor.number(2).unwrap_or(0);
                let parameters = cursor.number(2).unwrap_or(0);
                match (statement, parameters) {
                    (_, 0) => definitions(columns),
                    (_, parameters) => Expect::Definitions(parameters, columns),
                }
            }
            (3 | 10 | 23 | 0xfa, Some(LOCAL_INFILE)) => Expect::File,
            (3 | 10 | 23 | 0xfa, Some(1..)) if packet.payload.first() != Some(&EOF) => {
                match Cursor(packet.payload).length() {
                    Some(columns @ 1..=65_535) => Expect::Columns(columns),
                    _ => Expect::Nothing,
                }
            }
            _ if wire::more_results(packet.payload) => Expect::First(3),
            _ => Expect::Nothing,
        };
        self.expect == Expect::Nothing
    }
}

fn definitions(columns: u64) -> Expect {
    match columns {
        0 => Expect::Nothing,
        _ => Expect::Definitions(columns, 0),
    }
}
