//! The segment that nearly all are, taken in at one go.

use protocol_parsers::Timestamp;

use super::Segment;
use super::sequence::distance;
use crate::flow::Flow;
use crate::key::End;
use crate::marks::Marks;

impl Flow {
    /// Takes in a segment, one frame of so many bytes, if it is plain: the next one of an open connection in which nothing special is
    /// going on, with no flag that matters but ACK. Otherwise nothing happens, and it is for [`count`](Self::count) and
    /// [`segment`](Self::segment), which do the same with plain ones, by and by.
    #[inline(always)]
    pub(crate) fn take_plain(&mut self, segment: &Segment<'_>, frame_bytes: u64, now: Timestamp) -> bool {
        let Segment { from, time, header, payload, .. } = *segment;
        let (other, marks) = (from.other(), self.marks);
        let is_bare = payload == 0;
        let says_more = is_bare & (header.ack != self.tcp.acks[from]) | !is_bare & (header.seq == self.tcp.edges[from]);
        let is_limited = self.tcp.is_limited(End::Low, self.who.tag) | self.tcp.is_limited(End::High, self.who.tag);
        // All at once: nobody can foresee a single one of them.
        let is_plain = header.flags.is_plain()
            & marks.is_plain()
            & (time >= self.last)
            & (header.window != 0)
            & says_more
            & !(marks.tell_windows() & is_limited);
        if !is_plain || self.has_piece() || !self.counts.packets(from, 1, frame_bytes, payload) {
            return false;
        }
        (self.last, self.quiet_since) = (time, now);
        self.marks.set(Marks::FRESH, true);
        if self.side.is_some() {
            self.acknowledge_repeated(segment);
        }
        (self.tcp.acks[from], self.tcp.windows[from]) = (header.ack, header.window);
        let is_heard = marks.of(other, Marks::UNACKNOWLEDGED) & (distance(self.end_of_data(other), header.ack) >= 0);
        self.marks.clear_of(other, Marks::UNACKNOWLEDGED, is_heard);
        if is_heard & is_bare {
            self.add_srt(from, self.tcp.talk.since_said(other, time));
        }
        if !is_bare | !marks.has(Marks::ACK) {
            self.marks.set(Marks::BEYOND_HANDSHAKE, true);
        }
        if !is_bare {
            self.tcp.edges[from] = segment.end();
            self.say(from, time);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decode::{Flags, Header, Region, TcpHeader, View};
    use crate::flow::{Addresses, Between, Who};
    use crate::key::{Route, Tuple};
    use crate::tag::Tag;

    /// A segment, by what its sender and the other end sent so far.
    #[derive(Clone, Debug)]
    struct Step {
        from_client: bool,
        flags: u8,
        seq: i32,
        ack: i32,
        window: u16,
        payload: u32,
        /// Nanoseconds since the one before.
        passed: i64,
        has_clock: bool,
    }

    const SYN: u8 = 2;
    const ACK: u8 = 16;

    /// Segments as most are, now and then with something else about them.
    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let flags = prop_oneof![20 => Just(ACK), 1 => Just(ACK | 1), 1 => Just(SYN), 1 => Just(SYN | ACK), 1 => Just(ACK | 4), 1 => Just(0)];
        let off = || prop_oneof![20 => Just(0), 1 => Just(-1), 1 => Just(100), 1 => Just(-100), 1 => Just(-1460)];
        let window = prop_oneof![20 => Just(65_000u16), 2 => Just(64_000u16), 1 => Just(0u16), 1 => Just(900u16)];
        let payload = prop_oneof![5 => Just(0u32), 5 => Just(1460u32), 1 => Just(1u32), 1 => Just(u32::MAX / 3)];
        let passed = prop_oneof![20 => 0i64..1_000_000, 1 => Just(-5_000_000i64), 1 => Just(5_000_000_000i64)];
        let step = (any::<bool>(), flags, off(), off(), window, payload, passed, any::<bool>()).prop_map(
            |(from_client, flags, seq, ack, window, payload, passed, has_clock)| Step {
                from_client,
                flags,
                seq,
                ack,
                window,
                payload,
                passed,
                has_clock,
            },
        );
        let opening = [(true, SYN), (false, SYN | ACK), (true, ACK)].map(|(from_client, flags)| Step {
            from_client,
            flags,
            seq: 0,
            ack: 0,
            window: 65_000,
            payload: 0,
            passed: 1_000,
            has_clock: true,
        });
        (any::<bool>(), prop::collection::vec(step, 0..60)).prop_map(move |(is_opened, steps)| {
            let opening = if is_opened { opening.to_vec() } else { Vec::new() };
            opening.into_iter().chain(steps).collect()
        })
    }

    /// Takes in all of them. What is known of the conversation after each, and how many were plain.
    fn follow(steps: &[Step], may_be_plain: bool) -> (Vec<String>, usize) {
        let mut addresses = Addresses::new();
        let (mut flow, mut states, mut plain) = (None, Vec::new(), 0);
        let (mut sent, mut time) = ([u32::MAX - 3_000, 5], 1_700_000_000_000_000_000u64);
        for step in steps {
            let (mine, other) = if step.from_client { (0, 1) } else { (1, 0) };
            let ports = if step.from_client { (50_000, 80) } else { (80, 50_000) };
            let (from, to) = if step.from_client { (1, 2) } else { (2, 1) };
            let (tuple, end) = Tuple::of(Route::V4 { from, to }, Tuple::TCP, ports.0, ports.1);
            time = time.saturating_add_signed(step.passed);
            let seq = sent[mine].wrapping_add_signed(step.seq);
            let header = TcpHeader {
                seq,
                ack: sent[other].wrapping_add_signed(step.ack),
                flags: Flags(step.flags),
                window: step.window,
            };
            sent[mine] = seq.wrapping_add(step.payload.min(1 << 20)).wrapping_add(u32::from(step.flags & 3 != 0));
            let clock = [&[1, 1, 8, 10][..], &(time as u32).to_be_bytes(), &(time as u32).to_be_bytes()].concat();
            let options = if step.has_clock { &clock[..] } else { &[] };
            let length = options.len() as u32 + step.payload;
            let view = View {
                tuple,
                from: end,
                header: Header::Tcp(header),
                behind: Region::new(options, length),
                options_len: options.len() as u8,
                frames: 1,
                frame_bytes: u64::from(length) + 54,
            };
            let now = Timestamp::from_nanos(time);
            let flow = flow.get_or_insert_with(|| {
                let who = Who { tag: Tag::new(1), between: Between::new(&tuple, 0, &mut addresses) };
                Flow::new(who, now, &view, &[])
            });
            let segment =
                Segment { from: end, time: now, header: &header, options: view.options(), payload: step.payload };
            if may_be_plain && flow.take_plain(&segment, view.frame_bytes, now) {
                plain += 1;
            } else {
                flow.count(&view, now, now);
                flow.segment(&segment);
            }
            let record = flow.record(None, &addresses);
            states.push(format!("{:?} {:?} {:?} {:?} {record:?}", flow.marks, flow.tcp, flow.counts, flow.quiet_since));
        }
        (states, plain)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn at_one_go_is_the_same_as_by_and_by(steps in steps()) {
            prop_assert_eq!(follow(&steps, true).0, follow(&steps, false).0);
        }
    }

    /// The cases above would pass if nothing were plain.
    #[test]
    fn most_are_plain() {
        let step = |from_client, flags, payload| Step {
            from_client,
            flags,
            seq: 0,
            ack: 0,
            window: 65_000,
            payload,
            passed: 1_000,
            has_clock: false,
        };
        let opening = [step(true, SYN, 0), step(false, SYN | ACK, 0), step(true, ACK, 0)];
        let exchange = [step(true, ACK, 100), step(false, ACK, 0), step(false, ACK, 1460), step(true, ACK, 0)];
        assert_eq!(follow(&[&opening[..], &exchange].concat(), true).1, 4);
        assert_eq!(follow(&[&exchange[..], &exchange].concat(), true).1, 6, "but for the first of each end");
    }
}
