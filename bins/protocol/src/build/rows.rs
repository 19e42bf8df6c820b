//! Rows of one table in the making.

use std::fmt::Display;
use std::net::IpAddr;
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_array::builder::ArrayBuilder;
use arrow_schema::ArrowError;
use flow_core::{Counters, Durations, Endpoint, Sides};

use super::Process;
use super::column::ColumnBuilder;
use crate::{Column, Table};

/// Rows of one table. A row is written column by column, in the table's order: each value is given with the column's name, which is
/// compared in debug builds. A value of the wrong type is left out, and then [`finish`](Self::finish) fails.
pub(super) struct Rows {
    table: &'static Table,
    columns: Vec<ColumnBuilder>,
    /// Where the row that is being written goes on.
    next: usize,
    rows: usize,
    bytes: usize,
}

macro_rules! append {
    ($($function:ident $kind:ident $value:ty;)*) => {$(
        pub(super) fn $function(&mut self, name: &'static str, value: impl Into<Option<$value>>) {
            let value = value.into();
            if let Some(ColumnBuilder::$kind(builder)) = self.column(name) {
                builder.append_option(value);
                self.bytes += size_of::<$value>();
            }
        }
    )*};
}

impl Rows {
    pub(super) fn new(table: &'static Table) -> Self {
        let columns = table.columns.iter().map(ColumnBuilder::new).collect();
        Self { table, columns, next: 0, rows: 0, bytes: 0 }
    }

    pub(super) fn table(&self) -> &'static Table {
        self.table
    }

    pub(super) fn len(&self) -> usize {
        self.rows
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn end_row(&mut self) {
        debug_assert_eq!(self.next, self.columns.len(), "a row of {} is not complete", self.table.name);
        self.next = 0;
        self.rows += 1;
    }

    pub(super) fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        (self.rows, self.bytes, self.next) = (0, 0, 0);
        let arrays = self.columns.iter_mut().filter_map(ColumnBuilder::finish).collect();
        RecordBatch::try_new(self.table.wire_schema(), arrays)
    }

    fn column(&mut self, name: &'static str) -> Option<&mut ColumnBuilder> {
        let place = self.next;
        self.next += 1;
        debug_assert_eq!(self.table.columns.get(place).map(|column: &Column| column.name), Some(name));
        self.columns.get_mut(place)
    }

    append! {
        i64 I64 i64;
        u64 U64 u64;
        u32 U32 u32;
        u16 U16 u16;
        flag Flag bool;
    }

    /// Nanoseconds since the Unix epoch; beyond the year 2262 that year.
    pub(super) fn time(&mut self, name: &'static str, nanos: u64) {
        if let Some(ColumnBuilder::Time(builder)) = self.column(name) {
            builder.append_value(signed(nanos));
            self.bytes += size_of::<i64>();
        }
    }

    pub(super) fn instant(&mut self, name: &'static str, nanos: impl Into<Option<u64>>) {
        self.i64(name, nanos.into().map(signed));
    }

    pub(super) fn nanos(&mut self, name: &'static str, duration: impl Into<Option<Duration>>) {
        self.i64(name, duration.into().map(|duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)));
    }

    pub(super) fn name<'a>(&mut self, name: &'static str, value: impl Into<Option<&'a str>>) {
        if let Some(ColumnBuilder::Name(names)) = self.column(name) {
            self.bytes += size_of::<u32>() + names.append(value.into());
        }
    }

    pub(super) fn text(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(ColumnBuilder::Text(builder)) = self.column(name) {
            builder.append_option(value);
            self.bytes += size_of::<u32>() + value.map_or(0, str::len);
        }
    }

    /// An identifier of a trace or span.
    pub(super) fn identifier(&mut self, name: &'static str, text: Option<&str>) {
        if let Some(ColumnBuilder::Bytes(builder)) = self.column(name) {
            let bytes = text.map(identifier);
            builder.append_option(bytes.as_deref());
            self.bytes += size_of::<u32>() + bytes.map_or(0, |bytes| bytes.len());
        }
    }

    pub(super) fn address(&mut self, name: &'static str, address: IpAddr) {
        if let Some(ColumnBuilder::Address(builder)) = self.column(name) {
            let bytes = match address {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                IpAddr::V6(address) => address.octets(),
            };
            // It has the 16 bytes that the column demands.
            let _ = builder.append_value(bytes);
            self.bytes += bytes.len();
        }
    }

    pub(super) fn socket(&mut self, address_name: &'static str, port_name: &'static str, address: Endpoint) {
        self.address(address_name, address.ip());
        self.u16(port_name, address.port());
    }

    /// Null where there is none.
    pub(super) fn texts(&mut self, name: &'static str, texts: impl Iterator<Item = impl Display>) {
        if let Some(ColumnBuilder::Texts(builder)) = self.column(name) {
            let (mut any, mut bytes) = (false, size_of::<u32>());
            for text in texts {
                let text = text.to_string();
                builder.values().append_value(&text);
                (any, bytes) = (true, bytes + size_of::<u32>() + text.len());
            }
            builder.append(any);
            self.bytes += bytes;
        }
    }

    /// Null where there is none.
    pub(super) fn u16s(&mut self, name: &'static str, numbers: impl Iterator<Item = u16>) {
        if let Some(ColumnBuilder::U16s(builder)) = self.column(name) {
            let before = builder.values().len();
            numbers.for_each(|number| builder.values().append_value(number));
            let added = builder.values().len() - before;
            builder.append(added > 0);
            self.bytes += size_of::<u32>() + added * size_of::<u16>();
        }
    }

    /// Two columns: the buckets that are not empty, and their counts. Null where all are.
    pub(super) fn histogram(&mut self, bucket_name: &'static str, count_name: &'static str, of: &flow_core::Histogram) {
        if let Some(ColumnBuilder::Buckets(builder)) = self.column(bucket_name) {
            of.buckets().for_each(|(bucket, _)| builder.values().append_value(bucket));
            builder.append(!of.is_empty());
        }
        if let Some(ColumnBuilder::Counts(builder)) = self.column(count_name) {
            of.buckets().for_each(|(_, count)| builder.values().append_value(u32::try_from(count).unwrap_or(u32::MAX)));
            builder.append(!of.is_empty());
        }
        self.bytes += 2 * size_of::<u32>() + of.buckets().count() * (size_of::<i16>() + size_of::<u32>());
    }

    pub(super) fn sides(&mut self, names: [&'static str; 2], sides: Sides<u64>) {
        let [client, server] = names;
        self.u64(client, sides.client);
        self.u64(server, sides.server);
    }

    /// What was added to the counters of transport health in version 2.
    pub(super) fn health(&mut self, counters: &Counters) {
        self.sides(["syn_retransmissions_client", "syn_retransmissions_server"], counters.syn_retransmissions);
        self.sides(
            ["syn_ack_retransmissions_client", "syn_ack_retransmissions_server"],
            counters.syn_ack_retransmissions,
        );
        self.sides(["data_retransmissions_client", "data_retransmissions_server"], counters.data_retransmissions);
        self.sides(
            ["spurious_retransmissions_client", "spurious_retransmissions_server"],
            counters.spurious_retransmissions,
        );
        self.sides(["duplicate_acks_client", "duplicate_acks_server"], counters.duplicate_acks);
        self.sides(["zero_window_ns_client", "zero_window_ns_server"], counters.zero_window_ns);
        self.sides(["window_limited_ns_client", "window_limited_ns_server"], counters.window_limited_ns);
        self.durations(["idle_count", "idle_sum_ns", "idle_max_ns"], &counters.idle);
    }

    pub(super) fn durations(&mut self, names: [&'static str; 3], durations: &Durations) {
        let [count, sum, max] = names;
        self.u64(count, durations.count);
        self.u64(sum, durations.sum_ns);
        self.u64(max, durations.max_ns);
    }

    /// Null where there is none.
    pub(super) fn attributes<'a>(
        &mut self,
        name: &'static str,
        attributes: impl Iterator<Item = (&'a str, impl Display)>,
    ) {
        if let Some(ColumnBuilder::Attributes(builder)) = self.column(name) {
            let (mut any, mut bytes) = (false, size_of::<u32>());
            for (key, value) in attributes {
                let value = value.to_string();
                builder.keys().append_value(key);
                builder.values().append_value(&value);
                (any, bytes) = (true, bytes + 2 * size_of::<u32>() + value.len());
            }
            // Keys and values came in pairs.
            let _ = builder.append(any);
            self.bytes += bytes;
        }
    }

    /// The columns `process_pid` to `process_container`; some tables leave `process_start_ns` or `process_thread` out.
    pub(super) fn process(&mut self, process: Option<Process<'_>>) {
        self.u32("process_pid", process.map(|process| process.pid));
        if self.is_next("process_start_ns") {
            self.instant("process_start_ns", process.map(|process| process.start_ns));
        }
        self.name("process_name", process.map(|process| process.name));
        if self.is_next("process_thread") {
            self.name("process_thread", process.and_then(|process| process.thread));
        }
        self.name("process_container", process.and_then(|process| process.container));
    }

    fn is_next(&self, name: &str) -> bool {
        self.table.columns.get(self.next).is_some_and(|column| column.name == name)
    }
}

fn signed(nanos: u64) -> i64 {
    i64::try_from(nanos).unwrap_or(i64::MAX)
}

/// 16 or 32 lower-case hexadecimal digits as the bytes they stand for; any other text as its own bytes, behind which a zero stands
/// where it would be taken for digits.
fn identifier(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pair = |pair: &[u8]| match *pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    let hexadecimal = matches!(text.len(), 16 | 32).then(|| text.as_bytes().chunks(2).map(pair).collect());
    hexadecimal.flatten().unwrap_or_else(|| {
        let mut bytes = text.as_bytes().to_vec();
        if matches!(bytes.len(), 8 | 16) {
            bytes.push(0);
        }
        bytes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_of_every_form_are_kept() {
        assert_eq!(identifier("00f067aa0ba902b7"), [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
        assert_eq!(identifier("4bf92f3577b34da6a3ce929d0e0e4736").len(), 16);
        assert_eq!(identifier("00F067AA0BA902B7"), b"00F067AA0BA902B7\0");
        assert_eq!(identifier("abcdefgh"), b"abcdefgh\0");
        assert_eq!(identifier("1.2.3"), b"1.2.3");
        assert_eq!(identifier(""), b"");
    }
}
