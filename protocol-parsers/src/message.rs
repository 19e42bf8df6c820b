//! The pen with which a parser writes down what a message says.

use alloc::string::String;
use alloc::vec::Vec;

use crate::call::{Record, Role};
use crate::decimal;
use crate::fields::Text;
use crate::open::OpenCalls;
use crate::{Field, Key, Options, Part, Protocol, Side, Stats, Status, Tap, Transport};

/// Takes down the fields of the message being read. What is written is dropped unless the step is a
/// [`Step::Message`](crate::Step::Message), [`Step::Part`](crate::Step::Part) or [`Step::Unanswered`](crate::Step::Unanswered).
pub struct MessageWriter<'a> {
    pub(crate) draft: &'a mut Record,
    pub(crate) open: &'a OpenCalls,
    pub(crate) options: &'a Options,
    pub(crate) stats: &'a mut Stats,
    pub(crate) from: Side,
    pub(crate) transport: Transport,
    /// What connections of Kafka share.
    pub(crate) kafka: &'a mut crate::kafka::Shared,
    pub(crate) tap: Option<&'a mut (dyn Tap + 'static)>,
    /// Room for a text that is made beside another one.
    pub(crate) scratch: &'a mut String,
    /// Texts that the draft has announced, not yet looked at: whether they are UTF-8 is asked once for all that stand behind each other.
    pub(crate) gathered: &'a mut Vec<u8>,
}

impl MessageWriter<'_> {
    /// The message is a request.
    pub fn request(&mut self, key: Key) {
        self.draft.role = Role::Request(key);
    }

    /// The message is a request that may have been sent before: if one with this key waits for its answer, they are the same call.
    pub fn request_again(&mut self, key: Key) {
        self.draft.role = Role::Repeatable(key);
    }

    /// The message is a request of the other side, announced by the side that will answer it with this key.
    pub fn promise(&mut self, key: Key) {
        self.draft.role = Role::Promised(key);
    }

    /// The message answers the request with this key.
    pub fn response(&mut self, key: Key) {
        self.draft.role = Role::Response(key);
    }

    /// The message is never answered.
    pub fn one_way(&mut self) {
        self.draft.role = Role::OneWay;
    }

    /// The call belongs to another protocol than the one the parser was made for, such as gRPC within HTTP/2.
    pub fn protocol(&mut self, protocol: Protocol) {
        self.draft.protocol = Some(protocol);
    }

    /// Keeps a number with this request for whoever reads its response.
    pub fn context(&mut self, context: u64) {
        self.draft.context = context;
    }

    /// The number kept with the request that a response of the reading side with this key answers, also where that request was
    /// reported as unanswered already.
    #[must_use]
    pub fn context_of_request(&self, key: Key) -> Option<u64> {
        self.open.context(self.from.other(), key)
    }

    /// A field of the request that a response of the reading side with this key answers.
    #[must_use]
    pub fn field_of_request(&self, key: Key, field: Field) -> Option<&str> {
        self.open.unanswered(self.from.other(), key).and_then(|record| record.fields.get(field))
    }

    /// The protocol of the open call that a message of the reading side belongs to.
    pub(crate) fn protocol_of_call(&self, of: Part) -> Option<Protocol> {
        let (requester, key) = match of {
            Part::Request(key) => (self.from, key),
            Part::Response(key) => (self.from.other(), key),
        };
        self.open.call(requester, key)?.protocol
    }

    /// The key of the oldest request, of those that a response of the reading side could answer, for which `test` holds.
    #[must_use]
    pub fn find_unanswered(&self, mut test: impl FnMut(u64) -> bool) -> Option<Key> {
        self.open.find_unanswered(self.from.other(), |key| match key {
            Key::Id(id) => test(id),
            Key::Order => false,
        })
    }

    /// The key of the oldest unanswered request of the reading side for which `test` holds.
    pub(crate) fn find_waiting(&self, mut test: impl FnMut(u64) -> bool) -> Option<Key> {
        self.open.find_unanswered(self.from, |key| match key {
            Key::Id(id) => test(id),
            Key::Order => false,
        })
    }

    /// How the call ended; said by a response, or by a one-way message about itself.
    pub fn status(&mut self, status: Status) {
        self.draft.status = status;
    }

    /// Tells the time to the response's last byte in the attribute `duration_total_ns`, where the duration ends earlier.
    pub fn time_to_end(&mut self) {
        self.draft.timed_to_end = true;
    }

    /// Bytes that were needed are missing.
    pub fn incomplete(&mut self) {
        self.draft.incomplete = true;
    }

    /// Sets a text field. Bytes that are no UTF-8 are escaped as `\xNN`; what is set already stays.
    pub fn field(&mut self, field: Field, bytes: &[u8]) {
        if self.gathered.is_empty() {
            self.text(field, Text::Bytes(bytes));
        } else {
            self.gather(field, bytes);
        }
    }

    /// The same as the first of several texts in a row, which are then checked together: copying one alone would cost more than it saves.
    pub(crate) fn gather(&mut self, field: Field, bytes: &[u8]) {
        self.field_bytes_with(field, |gathered| gathered.extend_from_slice(bytes));
    }

    /// Sets a text field to the bytes that `write` appends.
    #[inline]
    pub(crate) fn field_bytes_with(&mut self, field: Field, write: impl FnOnce(&mut Vec<u8>)) {
        if self.draft.fields.has(field) {
            return;
        }
        let start = self.gathered.len();
        write(self.gathered);
        let length = self.gathered.len() - start;
        if length > self.options.limits.text_bytes || !self.begins_a_character(start) {
            return self.field_apart(field, start);
        }
        if length > 0 {
            self.draft.fields.announce(field, length);
        }
    }

    /// What was gathered from `start` on is the value of a field, too long or no UTF-8 for sure.
    #[cold]
    fn field_apart(&mut self, field: Field, start: usize) {
        let value = self.gathered.split_off(start);
        self.text(field, Text::Bytes(&value));
    }

    /// Whether what was gathered from `start` on does not go on with a character of what stands before it.
    #[inline]
    fn begins_a_character(&self, start: usize) -> bool {
        self.gathered.get(start).is_none_or(|first| !matches!(first, 0x80..0xc0))
    }

    /// Hands what was gathered to the draft. Whatever writes there in another way comes behind it.
    #[inline]
    pub(crate) fn settle(&mut self) {
        if !self.gathered.is_empty() {
            self.hand_over();
        }
    }

    #[inline(never)]
    fn hand_over(&mut self) {
        self.stats.texts_cut += self.draft.fields.join(self.gathered, self.options.limits.text_bytes);
        self.gathered.clear();
    }

    /// Sets a text field.
    #[inline]
    pub(crate) fn text(&mut self, field: Field, text: Text<'_>) {
        self.settle();
        let limit = self.options.limits.text_bytes;
        let valid = match text {
            Text::Valid(text) if text.len() <= limit => Some(text),
            Text::Bytes(bytes) if bytes.len() <= limit => core::str::from_utf8(bytes).ok(),
            _ => None,
        };
        match valid {
            Some(text) => self.draft.fields.set_valid(field, text),
            None => self.stats.texts_cut += u64::from(self.draft.fields.set(field, text, limit)),
        }
    }

    /// Sets a text field of the call, also if another message of it has set it before.
    pub(crate) fn replace(&mut self, field: Field, bytes: &[u8]) {
        self.field(field, bytes);
        self.prevail(field);
    }

    /// What this message says of the field holds, whatever another message of its call has said before.
    pub(crate) fn prevail(&mut self, field: Field) {
        self.draft.fields.prevail(field);
    }

    /// Sets a text field to what `write` appends to the string it is given. It must append only.
    #[inline]
    pub fn field_with(&mut self, field: Field, write: impl FnOnce(&mut String)) {
        self.settle();
        let cut = self.draft.fields.set_with(field, self.options.limits.text_bytes, |text| {
            write(text);
            false
        });
        self.stats.texts_cut += u64::from(cut);
    }

    /// Sets a text field to a part of another one, which `part` chooses.
    pub(crate) fn field_within(&mut self, field: Field, of: Field, part: impl FnOnce(&str) -> core::ops::Range<usize>) {
        self.settle();
        self.draft.fields.set_within(field, of, part);
    }

    /// The text of a field goes on, but was too long to be kept.
    pub fn mark_cut(&mut self, field: Field) {
        self.draft.fields.mark_cut(field);
        self.stats.texts_cut += 1;
    }

    /// Sets a text field to a number in decimal.
    pub fn field_number(&mut self, field: Field, number: u64) {
        let mut digits = [0; 20];
        self.field(field, decimal::digits(number, &mut digits));
    }

    /// What was written into a field of this message so far.
    #[must_use]
    pub fn written(&mut self, field: Field) -> Option<&str> {
        self.settle();
        self.draft.fields.get(field)
    }

    /// Texts of earlier messages, kept for later ones, were dropped to keep a bound.
    pub fn count_forgotten(&mut self, count: u64) {
        self.stats.texts_forgotten += count;
    }

    /// Whether the field is set already.
    #[must_use]
    pub fn has(&self, field: Field) -> bool {
        self.draft.fields.has(field)
    }

    /// Adds an attribute.
    pub fn attribute(&mut self, key: &str, value: &[u8]) {
        let apart = value.len() > self.options.limits.text_bytes || matches!(value.first(), Some(0x80..0xc0));
        if apart || self.gathered.is_empty() {
            return self.attribute_text(key, Text::Bytes(value));
        }
        if self.room_for_attribute() {
            self.gathered.extend_from_slice(key.as_bytes());
            self.gathered.extend_from_slice(value);
            self.draft.fields.announce_attribute(key.len(), value.len());
        }
    }

    /// Adds an attribute.
    pub(crate) fn attribute_text(&mut self, key: &str, value: Text<'_>) {
        if self.room_for_attribute() {
            self.settle();
            let cut = self.draft.fields.attribute(key, value, self.options.limits.text_bytes);
            self.stats.texts_cut += u64::from(cut);
        }
    }

    /// Adds an attribute whose value is what `write` appends to the string it is given. It must append only.
    pub fn attribute_with(&mut self, key: &str, write: impl FnOnce(&mut String)) {
        if self.room_for_attribute() {
            self.settle();
            let cut = self.draft.fields.attribute_with(key, self.options.limits.text_bytes, write);
            self.stats.texts_cut += u64::from(cut);
        }
    }

    /// Adds an attribute that is a number.
    pub fn attribute_number(&mut self, key: &str, value: i64) {
        if self.room_for_attribute() {
            self.settle();
            self.draft.fields.attribute_number(key, value);
        }
    }

    /// Adds an attribute that is a truth value.
    pub fn attribute_flag(&mut self, key: &str, value: bool) {
        if self.room_for_attribute() {
            self.settle();
            self.draft.fields.attribute_flag(key, value);
        }
    }

    /// Whether the bytes are one datagram.
    #[must_use]
    pub fn is_datagram(&self) -> bool {
        self.transport.is_datagram()
    }

    /// The user's choices.
    #[must_use]
    pub fn options(&self) -> &Options {
        self.options
    }

    fn room_for_attribute(&mut self) -> bool {
        let room = self.draft.fields.attribute_count() < self.options.limits.attributes;
        self.stats.attributes_dropped += u64::from(!room);
        room
    }
}
