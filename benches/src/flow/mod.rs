//! Suite `flow`: from packets to records, beside programs that do the same.

mod replay;

pub use replay::{Counted, Outcome, Work, check, follow, replay, walk};

#[cfg(test)]
mod tests {
    use crate::traffic::{Amount, Traffic};
    use super::*;

    const SMALL: Amount = Amount { seed: 1, packets: 20_000, conversations: 200 };

    #[test]
    fn the_engine_finds_what_the_traffic_has() {
        for (_, work) in Work::ALL {
            follow(SMALL, work).unwrap();
        }
    }

    #[test]
    fn everything_that_is_counted_is_in_the_traffic() {
        let mut traffic = Traffic::new(SMALL);
        while traffic.next_frame().is_some() {}
        println!("{:#?}", traffic.truth());
    }
}
