//! Joining requests with their answers.

use alloc::boxed::Box;

use crate::call::{CallKind, Finished, Half, Record, Role, Status};
use crate::connection::Active;
use crate::fields::Text;
use crate::open::Place;
use crate::{Dissector, DurationEnd, Field, Key, Part, Side, Timestamp};

/// Where and when a message begins.
pub(crate) struct Beginning {
    /// When its first byte was seen.
    pub(crate) time: Timestamp,
    /// Of its first byte in the stream.
    pub(crate) offset: u64,
    /// When the last of the bytes read so far was seen.
    pub(crate) head_end: Timestamp,
    /// Bytes read so far.
    pub(crate) bytes: u64,
}

impl Dissector {
    /// The draft is a message that begins here. Returns what its further bytes belong to, and the call's position.
    pub(crate) fn begin(
        &mut self,
        connection: &mut Active,
        side: Side,
        beginning: &Beginning,
    ) -> Option<(Part, usize)> {
        match self.draft.role {
            Role::Request(key) => {
                self.begin_request(connection, side, key);
                let position = self.open_request(connection, side, key, beginning);
                Some((Part::Request(key), position))
            }
            Role::Repeatable(key) => {
                if let Place::At(position) = connection.open.place_for_response(side, key) {
                    connection.open.change(position, |record| record.retries = record.retries.saturating_add(1));
                    return None;
                }
                let position = self.open_request(connection, side, key, beginning);
                Some((Part::Request(key), position))
            }
            Role::Promised(key) => {
                let position = self.open_request(connection, side.other(), key, beginning);
                connection.open.change(position, |record| {
                    record.from_server = side == Side::Server;
                    record.promised = true;
                    record.request = Half::Ended;
                });
                None
            }
            Role::OneWay => {
                let position = self.open_request(connection, side, Key::Order, beginning);
                Some((Part::Request(Key::Order), position))
            }
            Role::Response(key) => {
                let position = self.begin_response(connection, side, key, beginning)?;
                Some((Part::Response(key), position))
            }
            Role::None => None,
        }
    }

    /// A new request tells something about those before it.
    fn begin_request(&mut self, connection: &mut Active, side: Side, key: Key) {
        if key != Key::Order {
            return;
        }
        // Requests of one side follow each other: the one before has ended, whatever its length said.
        if let Some(position) = connection.open.last(side, |record| record.request == Half::Open) {
            self.end_half(connection, position, Part::Request(key), 0, Timestamp::ZERO);
        }
        if !connection.doubtful {
            return;
        }
        // Answers were lost, and the client goes on: it has got them, we have not.
        connection.doubtful = false;
        while let Some(position) = connection.open.find(|_, requester, record| record.doubtful && requester == side) {
            if let Some(mut record) = connection.open.remove(position) {
                record.incomplete = true;
                self.emit(connection, record);
            }
        }
    }

    fn open_request(&mut self, connection: &mut Active, side: Side, key: Key, beginning: &Beginning) -> usize {
        self.make_room(connection, 1);
        connection.unmark();
        let mut record = core::mem::replace(&mut self.draft, self.records.pop().unwrap_or_default());
        record.start = beginning.time;
        record.end = beginning.time;
        record.request_offset = beginning.offset;
        record.request_bytes = beginning.bytes;
        record.request = Half::Open;
        record.from_server = side == Side::Server;
        record.protocol = record.protocol.or(connection.facts.protocol);
        if record.role == Role::OneWay {
            // Nothing answers it.
            record.response = Half::Ended;
        }
        connection.open.push(key, side, record)
    }

    fn begin_response(
        &mut self,
        connection: &mut Active,
        side: Side,
        key: Key,
        beginning: &Beginning,
    ) -> Option<usize> {
        let requester = side.other();
        connection.unmark();
        let mut place = connection.open.place_for_response(requester, key);
        // Where it belongs to the first call of all, none before it waits for an end that was lost.
        if key == Key::Order && (place != Place::At(0) || connection.doubtful) {
            self.end_lost_response(connection, requester);
            self.settle_doubt(connection, requester);
            place = connection.open.place_for_response(requester, key);
        }
        let position = match place {
            Place::At(position) => position,
            Place::Late(position) => {
                connection.open.remove(position);
                self.stats.late_answers += 1;
                return None;
            }
            Place::Nowhere => {
                self.make_room(connection, 1);
                let mut record = self.records.pop().unwrap_or_default();
                record.start = beginning.time;
                record.from_server = requester == Side::Server;
                record.role = self.draft.role;
                record.protocol = connection.facts.protocol;
                connection.open.push(key, requester, record)
            }
        };
        let draft = &self.draft;
        connection.open.change(position, |record| {
            record.fields.merge(&draft.fields);
            record.status = draft.status;
            record.protocol = draft.protocol.or(record.protocol);
            record.incomplete |= draft.incomplete | record.doubtful;
            record.doubtful = false;
            record.lost &= record.request == Half::Open;
            if record.request == Half::Absent {
                record.start = beginning.time;
            }
            record.timed_to_end |= draft.timed_to_end;
            record.head_end = beginning.head_end;
            record.end = beginning.head_end;
            record.response_offset = beginning.offset;
            record.response_bytes = beginning.bytes;
            record.response = Half::Open;
        });
        Some(position)
    }

    /// What was written belongs to a message that has begun earlier.
    pub(crate) fn add(&mut self, connection: &mut Active, side: Side, part: Part) {
        let draft = &self.draft;
        if let Some(position) = position_of(connection, side, part) {
            connection.open.change(position, |record| {
                record.fields.merge(&draft.fields);
                record.protocol = draft.protocol.or(record.protocol);
                record.incomplete |= draft.incomplete;
                if draft.status != Status::Unknown {
                    record.status = draft.status;
                }
            });
        }
    }

    /// So many bytes of a message were passed, the last at `time`.
    pub(crate) fn cover(&mut self, connection: &mut Active, side: Side, part: Part, count: u64, time: Timestamp) {
        if let Some(position) = position_of(connection, side, part) {
            connection.open.change(position, |record| cover(record, part, count, time));
        }
    }

    /// A message has ended.
    pub(crate) fn end(&mut self, connection: &mut Active, side: Side, part: Part) {
        if let Some(position) = position_of(connection, side, part) {
            self.end_half(connection, position, part, 0, Timestamp::ZERO);
        } else if let Part::Response(key) = part
            && let Place::At(position) = connection.open.place_for_response(side.other(), key)
            && connection.open.change(position, |record| record.lost) == Some(true)
            && let Some(record) = connection.open.remove(position)
        {
            // Only the end of its answer was seen.
            self.emit(connection, record);
        }
    }

    /// A message that has begun at this position ends with so many bytes more, the last of them at `time`.
    pub(crate) fn end_at(
        &mut self,
        connection: &mut Active,
        side: Side,
        (part, mut position): (Part, usize),
        count: u64,
        time: Timestamp,
    ) {
        // In an order it is the one that has begun; of a number used twice, the first that is under way.
        let (Part::Request(key) | Part::Response(key)) = part;
        if key != Key::Order && !connection.open.is_distinct() {
            let Some(first) = position_of(connection, side, part) else { return };
            position = first;
        }
        self.end_half(connection, position, part, count, time);
    }

    /// A call has ended as a whole, with bytes of one of its messages.
    pub(crate) fn end_call(&mut self, connection: &mut Active, side: Side, of: Part, last: (u64, Timestamp)) {
        let (key, requester) = match of {
            Part::Request(key) => (key, side),
            Part::Response(key) => (key, side.other()),
        };
        let Some(position) = connection.open.find_by_key(requester, key, |_| true) else { return };
        let draft = &self.draft;
        let taken_back = connection.open.change(position, |record| {
            let (bytes, time) = last;
            match of {
                Part::Request(_) if record.request == Half::Open => record.request_bytes += bytes,
                Part::Response(_) if record.response == Half::Open => {
                    record.response_bytes += bytes;
                    record.end = time;
                }
                _ => {}
            }
            if record.response != Half::Ended {
                record.fields.merge(&draft.fields);
                record.incomplete |= draft.incomplete;
                if draft.status != Status::Unknown {
                    record.status = draft.status;
                }
            }
            if record.request == Half::Open {
                record.request = Half::Ended;
            }
            let taken_back = matches!(of, Part::Request(_)) && record.response == Half::Absent;
            if taken_back {
                record.taken_back = true;
                record.end = last.1;
            }
            taken_back
        });
        connection.early |= taken_back == Some(true);
        // The answer may be on its way, crossing what takes the request back.
        if taken_back == Some(false)
            && let Some(record) = connection.open.remove(position)
        {
            self.emit(connection, record);
        }
    }

    /// What the last protocol of the connection hands on to the next: a response that will come, without its request.
    pub(crate) fn hand_on(&mut self, connection: &mut Active, time: Timestamp) {
        let (Role::Response(key), true) = (self.draft.role, connection.is_reading()) else { return };
        let beginning = Beginning { time, offset: 0, head_end: time, bytes: 0 };
        let position = self.open_request(connection, Side::Client, key, &beginning);
        connection.open.change(position, |record| record.request = Half::Absent);
    }

    /// The oldest request with this key that waits for an answer of `side` gets none. Says whether there is one.
    pub(crate) fn give_none(&mut self, connection: &mut Active, side: Side, key: Key) -> bool {
        let (Place::At(position) | Place::Late(position)) = connection.open.place_for_response(side.other(), key)
        else {
            return false;
        };
        if let Some(mut record) = connection.open.remove(position) {
            record.fields.merge(&self.draft.fields);
            record.incomplete |= self.draft.incomplete;
            self.emit(connection, record);
        }
        true
    }

    /// The request of the call at this position, or its response, has ended, with so many bytes more, the last of them at `time`.
    pub(crate) fn end_half(
        &mut self,
        connection: &mut Active,
        position: usize,
        part: Part,
        count: u64,
        time: Timestamp,
    ) {
        let finished = connection.open.change(position, |record| {
            if count > 0 {
                cover(record, part, count, time);
            }
            match part {
                Part::Request(_) => record.request = Half::Ended,
                Part::Response(_) => record.response = Half::Ended,
            }
            record.response == Half::Ended && record.request != Half::Open
        });
        if finished == Some(true)
            && let Some(record) = connection.open.remove(position)
        {
            self.emit(connection, record);
        }
    }

    /// Reports a call whose deadline has passed; the place of an unanswered one is kept for a late answer.
    pub(crate) fn report_timeout(&mut self, connection: &mut Active, position: usize) {
        let answered = connection.open.change(position, |record| record.response != Half::Absent) == Some(true);
        let record = if answered { connection.open.remove(position) } else { connection.open.vacate(position) };
        if let Some(mut record) = record {
            if answered {
                self.stats.ends_lost += 1;
            } else if !record.taken_back {
                self.stats.timeouts += 1;
                if record.status == Status::Unknown {
                    record.status = Status::Timeout;
                }
            }
            self.emit(connection, record);
        }
        self.stats.late_places_dropped += connection.open.drop_vacant(self.options.limits.late_places);
    }

    /// Reports the oldest open call as it stands. Says whether there was one.
    pub(crate) fn finish_first(&mut self, connection: &mut Active) -> bool {
        if connection.open.is_empty() {
            return false;
        }
        if let Some(record) = connection.open.remove(0) {
            self.emit(connection, record);
        }
        true
    }

    /// The verdict on the protocol was wrong: what seemed to be calls were none.
    pub(crate) fn withdraw(&mut self, connection: &mut Active) {
        self.stats.verdicts_withdrawn += 1;
        while !connection.open.is_empty() {
            if let Some(record) = connection.open.remove(0) {
                self.recycle(record);
            }
        }
    }

    /// Keeps the bounds of one connection, with so many calls to come.
    pub(crate) fn make_room(&mut self, connection: &mut Active, coming: usize) {
        let (most, bytes) = (self.options.limits.open_requests, self.options.limits.connection_bytes);
        // The whole sum is only worth its cost once the open calls alone are a good part of it.
        let crowded = |connection: &Active| {
            connection.open.len() + coming > most || connection.open.memory() > bytes / 8 && connection.memory() > bytes
        };
        while !connection.open.is_empty() && crowded(connection) {
            self.stats.late_places_dropped += connection.open.drop_vacant(most.saturating_sub(coming));
            if !crowded(connection) {
                break;
            }
            match connection.open.find(|_, _, record| record.response == Half::Absent) {
                Some(position) => {
                    if let Some(record) = connection.open.vacate(position) {
                        self.stats.requests_evicted += 1;
                        self.emit(connection, record);
                    }
                }
                None => {
                    self.finish_first(connection);
                }
            }
        }
    }

    /// The call is finished: nothing more will be learnt of it.
    pub(crate) fn emit(&mut self, connection: &mut Active, mut record: Box<Record>) {
        let Some(protocol) = connection.facts.protocol.filter(|_| connection.is_reading()) else { return };
        if record.request == Half::Absent && record.response == Half::Absent {
            // Expected, but not seen.
            self.recycle(record);
            return;
        }
        let kind = match (record.role, record.request, record.response) {
            (Role::OneWay, ..) => CallKind::OneWay,
            (_, Half::Absent, _) => CallKind::ResponseOnly,
            (_, _, Half::Absent) => CallKind::RequestOnly,
            _ => CallKind::RequestResponse,
        };
        if kind == CallKind::OneWay {
            record.response = Half::Absent;
        }
        // Its answer may be what was lost.
        record.incomplete |= record.lost && kind == CallKind::RequestOnly;
        connection.facts.confirmed |= kind == CallKind::RequestResponse;
        let end = if connection.facts.ends == DurationEnd::Head { record.head_end } else { record.end };
        let duration = (kind == CallKind::RequestResponse).then(|| end.since(record.start));
        connection.note_reported();
        let asked = connection.turn(record.requester());
        let mut client = connection.facts.client();
        if asked != client && connection.facts.opening.transport.is_datagram() && !connection.facts.opening.sides_known
        {
            // Nobody opened anything: who asks is the client.
            client = asked;
        } else if asked != client {
            record.fields.attribute("initiator", Text::Valid("server"), usize::MAX);
        }
        if record.timed_to_end && kind == CallKind::RequestResponse {
            let total = i64::try_from(record.end.since(record.start).as_nanos()).unwrap_or(i64::MAX);
            record.fields.attribute_number("duration_total_ns", total);
        }
        if record.retries > 0 {
            record.fields.attribute_number("retries", i64::from(record.retries));
        }
        if record.fields.any_cut() {
            name_cut_fields(&mut record);
        }
        if self.ready_calls() >= self.options.limits.ready_calls {
            self.stats.calls_dropped += 1;
            self.recycle(record);
            return;
        }
        self.stats.calls += 1;
        self.ready.push_back(Finished {
            protocol: record.protocol.unwrap_or(protocol),
            transport: connection.facts.opening.transport,
            client,
            requester: asked,
            answerer: if record.promised { asked } else { asked.other() },
            kind,
            duration,
            record,
        });
    }
}

/// So many bytes of a message of the call were passed, the last at `time`.
fn cover(record: &mut Record, part: Part, count: u64, time: Timestamp) {
    match part {
        Part::Request(_) => record.request_bytes += count,
        Part::Response(_) => {
            record.response_bytes += count;
            record.end = time;
        }
    }
}

pub(crate) fn position_of(connection: &Active, side: Side, part: Part) -> Option<usize> {
    match part {
        Part::Request(Key::Order) => connection.open.last(side, |record| record.request == Half::Open),
        Part::Request(key) => connection.open.find_by_key(side, key, |record| record.request == Half::Open),
        Part::Response(key) => connection.open.find_by_key(side.other(), key, |record| record.response == Half::Open),
    }
}

fn name_cut_fields(record: &mut Record) {
    let mut names = alloc::string::String::new();
    for name in record.fields.cut_fields().map(Field::name) {
        if !names.is_empty() {
            names.push(',');
        }
        names.push_str(name);
    }
    record.fields.attribute("truncated", Text::Valid(&names), usize::MAX);
}
