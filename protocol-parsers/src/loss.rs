//! What a loss of bytes means for the open calls: whose answer or end may have been among them.

use crate::call::Half;
use crate::connection::Active;
use crate::{Dissector, Key, Part, Side, Timestamp};

impl Dissector {
    /// Answers of `side` were lost: which of the open requests they belonged to cannot be told.
    pub(crate) fn doubt(&mut self, connection: &mut Active, side: Side) {
        // Damage that comes byte by byte is one loss: to mark the calls anew with each byte would take a walk over all of them.
        if core::mem::replace(&mut connection.lane(side).marked, true) {
            return;
        }
        let (mut doubtful, mut early) = (connection.doubtful, connection.early);
        connection.open.for_each(|key, requester, record| {
            if key == Key::Order && requester == side.other() && record.response == Half::Absent {
                record.doubtful = true;
                doubtful = true;
            }
            // A message that was under way may have ended unseen.
            let half = if requester == side { record.request } else { record.response };
            record.incomplete |= half == Half::Open;
            record.lost |= half == Half::Open || requester != side && half == Half::Absent;
            early |= record.lost;
        });
        (connection.doubtful, connection.early) = (doubtful, early);
    }

    /// An answer comes: one before it in the order that is still under way has ended unseen.
    pub(crate) fn end_lost_response(&mut self, connection: &mut Active, requester: Side) {
        if let Some(first) = connection.open.find_by_key(requester, Key::Order, |_| true)
            && connection.open.change(first, |record| record.response == Half::Open) == Some(true)
        {
            self.end_half(connection, first, Part::Response(Key::Order), 0, Timestamp::ZERO);
        }
    }

    /// An answer comes after others were lost. With one request open it is the answer to that; with several nobody can tell.
    pub(crate) fn settle_doubt(&mut self, connection: &mut Active, requester: Side) {
        if !connection.doubtful {
            return;
        }
        connection.doubtful = false;
        let mut doubtful = 0;
        connection.open.for_each(|_, asked, record| doubtful += usize::from(record.doubtful && asked == requester));
        if doubtful < 2 {
            return;
        }
        while let Some(position) = connection.open.find(|_, asked, record| record.doubtful && asked == requester) {
            if let Some(mut record) = connection.open.remove(position) {
                record.incomplete = true;
                self.emit(connection, record);
            }
        }
    }
}
