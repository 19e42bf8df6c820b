//! Calls and transport counters → rows of metrics.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;
use std::vec;

use hashbrown::{HashSet, HashTable};
use protocol_parsers::{Protocol, Status, Timestamp};

use crate::memory::prefetch;
use crate::metric::{Metric, MetricKey, MetricValues};
use crate::record::{CallRecord, Conversation, Endpoint};
use crate::{Limits, Transport};

/// The lengths of the windows.
const WINDOWS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// Texts that no row has, which may be kept all the same.
const SPARE_TEXTS: usize = 1024;

/// Texts, each kept once.
type Texts = HashSet<Arc<str>, ahash::RandomState>;

/// The rows of the running second and the running minute.
pub(crate) struct Rollup {
    windows: [Window; 2],
    /// The texts of their keys, the same for all rows.
    texts: Texts,
    /// How many of them there were that rows have, when that was last looked at.
    texts_in_use: usize,
    random: ahash::RandomState,
    most_rows: usize,
    most_text: usize,
    pub(crate) folded: u64,
    pub(crate) dropped: u64,
}

#[derive(Clone)]
struct Window {
    length: Duration,
    start: Timestamp,
    /// The next one's start.
    end: Timestamp,
    rows: Vec<(MetricKey, MetricValues)>,
    /// Hashes and places of the rows.
    index: HashTable<(u64, usize)>,
    /// Bytes of text in the keys of `rows`.
    text: usize,
}

/// The rows of a window that is over.
pub(crate) struct Rows {
    start: Timestamp,
    window: Duration,
    rows: vec::IntoIter<(MetricKey, MetricValues)>,
}

impl Rows {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Keeps the first ones only.
    pub(crate) fn truncate(&mut self, most: usize) {
        let more = self.rows.len().saturating_sub(most);
        self.rows.by_ref().rev().take(more).for_each(drop);
    }
}

impl Iterator for Rows {
    type Item = Metric;

    #[inline]
    fn next(&mut self) -> Option<Metric> {
        let (key, values) = self.rows.next()?;
        Some(Metric { start: self.start, window: self.window, key, values })
    }
}

impl Rollup {
    pub(crate) fn new(limits: &Limits) -> Self {
        let (start, rows, index, text) = (Timestamp::ZERO, Vec::new(), HashTable::new(), 0);
        let window = Window { length: Duration::ZERO, start, end: start, rows, index, text };
        Self {
            windows: WINDOWS.map(|length| Window { length, ..window.clone() }),
            texts: HashSet::with_hasher(crate::hash::keyed()),
            texts_in_use: 0,
            random: crate::hash::keyed(),
            most_rows: limits.metric_rows,
            most_text: limits.metric_text_bytes,
            folded: 0,
            dropped: 0,
        }
    }

    /// Whether a running window is over at this time.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.windows.iter().any(|window| now < window.start || now >= window.end)
    }

    /// When the first of the running windows is over that has rows, or will have because something `waits` to be counted.
    pub(crate) fn deadline(&self, waits: bool) -> Option<Timestamp> {
        let windows = self.windows.iter().filter(|window| waits || !window.rows.is_empty());
        windows.map(|window| window.start + window.length).min()
    }

    /// Goes on to this time; hands out the rows of the windows that are over.
    pub(crate) fn advance(&mut self, now: Timestamp, hand_out: &mut dyn FnMut(Rows)) {
        for window in &mut self.windows {
            let start = start_of(now, window.length);
            if start != window.start {
                window.flush(hand_out);
                (window.start, window.end) = (start, start + window.length);
            }
        }
        // Only those of rows are kept, but looking at all of them is worth its cost only from time to time.
        if self.texts.len() > 2 * self.texts_in_use + SPARE_TEXTS {
            self.texts.retain(|text| Arc::strong_count(text) > 1);
            self.texts_in_use = self.texts.len();
        }
    }

    /// Hands out everything.
    pub(crate) fn finish(&mut self, hand_out: &mut dyn FnMut(Rows)) {
        for window in &mut self.windows {
            window.flush(hand_out);
        }
    }

    /// Counts a call.
    pub(crate) fn add_call(&mut self, record: &CallRecord<'_>) {
        let call = &record.call;
        let key = Key {
            request_type: call.request_type(),
            domain: call.domain(),
            endpoint: call.endpoint(),
            ..Key::of(&record.conversation, Some(call.protocol()))
        };
        self.add(key, |values| {
            values.requests += 1;
            match call.status() {
                Status::ClientError => values.client_errors += 1,
                Status::ServerError => values.server_errors += 1,
                Status::Timeout => values.timeouts += 1,
                Status::Ok | Status::Unknown => {}
            }
            if let Some(duration) = call.duration() {
                values.durations.add(duration);
                values.latency.add(duration);
            }
            values.request_bytes += call.request_bytes();
            values.response_bytes += call.response_bytes();
        });
    }

    /// Changes the row of this key in every window. A key that finds no room is counted without what makes it special.
    pub(crate) fn add(&mut self, key: Key<'_>, change: impl Fn(&mut MetricValues)) {
        let hash = self.random.hash_one(key);
        for window in &self.windows {
            window.ask_for(hash);
        }
        for window in &mut self.windows {
            if let Some(values) = window.row(hash, &key, self.most_rows, self.most_text, &mut self.texts) {
                change(values);
                continue;
            }
            let folded = Key { request_type: None, domain: None, endpoint: None, ..key };
            match window.row(self.random.hash_one(folded), &folded, 2 * self.most_rows, usize::MAX, &mut self.texts) {
                Some(values) => {
                    self.folded += 1;
                    change(values);
                }
                None => self.dropped += 1,
            }
        }
    }
}

/// A [`MetricKey`] whose texts are still where they were read: nearly every call finds its row.
#[derive(Clone, Copy, Hash)]
pub(crate) struct Key<'a> {
    transport: Transport,
    client: IpAddr,
    server: IpAddr,
    server_port: u16,
    interface: u32,
    protocol: Option<Protocol>,
    request_type: Option<&'a str>,
    domain: Option<&'a str>,
    endpoint: Option<&'a str>,
}

impl Key<'_> {
    /// Of all that a conversation does.
    pub(crate) fn of(conversation: &Conversation, protocol: Option<Protocol>) -> Self {
        // Every connection over Unix sockets has inodes of its own: rows of each would be as many as there are connections.
        let host = |end: Endpoint| match end {
            Endpoint::Ip(address) => address.ip(),
            Endpoint::Unix(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        Self {
            transport: conversation.transport,
            client: host(conversation.client),
            server: host(conversation.server),
            server_port: conversation.server.port(),
            interface: conversation.interface,
            protocol,
            request_type: None,
            domain: None,
            endpoint: None,
        }
    }

    fn is(&self, key: &MetricKey) -> bool {
        self.endpoint == key.endpoint.as_deref()
            && self.client == key.client
            && self.server == key.server
            && self.server_port == key.server_port
            && self.protocol == key.protocol
            && self.request_type == key.request_type.as_deref()
            && self.domain == key.domain.as_deref()
            && self.interface == key.interface
            && self.transport == key.transport
    }

    fn kept(&self, texts: &mut Texts) -> MetricKey {
        let mut text = |text: Option<&str>| text.map(|text| texts.get_or_insert_with(text, |text| text.into()).clone());
        MetricKey {
            transport: self.transport,
            client: self.client,
            server: self.server,
            server_port: self.server_port,
            interface: self.interface,
            protocol: self.protocol,
            request_type: text(self.request_type),
            domain: text(self.domain),
            endpoint: text(self.endpoint),
        }
    }

    fn text_bytes(&self) -> usize {
        [self.request_type, self.domain, self.endpoint].into_iter().flatten().map(str::len).sum()
    }
}

impl Window {
    fn row(
        &mut self,
        hash: u64,
        key: &Key<'_>,
        most_rows: usize,
        most_text: usize,
        texts: &mut Texts,
    ) -> Option<&mut MetricValues> {
        let rows = &self.rows;
        let is_same =
            |(other, place): &(u64, usize)| *other == hash && rows.get(*place).is_some_and(|(row, _)| key.is(row));
        let place = match self.index.find(hash, is_same) {
            Some((_, place)) => *place,
            None if self.rows.len() >= most_rows || self.text + key.text_bytes() > most_text => return None,
            None => {
                self.text += key.text_bytes();
                let place = self.rows.len();
                self.rows.push((key.kept(texts), MetricValues::default()));
                self.index.insert_unique(hash, (hash, place), |(hash, _)| *hash);
                place
            }
        };
        self.rows.get_mut(place).map(|(_, values)| values)
    }

    /// A row with this hash will be looked for soon. There are so many that they come from far.
    fn ask_for(&self, hash: u64) {
        if let Some((_, place)) = self.index.find(hash, |(other, _)| *other == hash) {
            self.rows.get(*place).into_iter().for_each(prefetch);
        }
    }

    fn flush(&mut self, hand_out: &mut dyn FnMut(Rows)) {
        self.index.clear();
        self.text = 0;
        if !self.rows.is_empty() {
            // The next window will have about as many.
            let next = Vec::with_capacity(self.rows.len());
            let rows = std::mem::replace(&mut self.rows, next).into_iter();
            hand_out(Rows { start: self.start, window: self.length, rows });
        }
    }
}

fn start_of(time: Timestamp, length: Duration) -> Timestamp {
    let length = crate::record::nanos(length);
    Timestamp::from_nanos(time.as_nanos() / length * length)
}
