//! What every backend promises, as tests: one per behaviour, run against any backend by [`crate::conformance_suite!`].
//!
//! A backend that passes may replace any other. The suite compares with [`crate::Memory`], which is the reference.
#![expect(clippy::expect_used, reason = "a suite of tests fails by panicking")]

mod append;
mod grow;
mod lasting;
mod random;
mod read;
mod refuse;
mod rows;

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;

pub use append::*;
pub use grow::*;
pub use lasting::*;
pub use random::*;
pub use read::*;
pub use refuse::*;

use crate::Storage;

/// A fresh store of the backend under test, and how to close and open it again.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The store. Tests let go of it before they ask for a reopening.
    fn storage(&self) -> Arc<dyn Storage>;

    /// Closes the store and opens what it left behind. `false` when a store of this kind leaves nothing behind, and the
    /// tests of restarts have nothing to test.
    async fn reopen(&mut self) -> bool {
        false
    }
}

/// Something to run to its end.
pub type Task = BoxFuture<'static, ()>;

/// Runs a task to its end on the calling thread, with whatever runtime the backend needs. Called on several threads at once.
pub type Run = fn(Task);

/// Makes one `#[test]` of each behaviour.
///
/// The first argument is a function that runs a future to its end (`futures::executor::block_on`, or one that makes a
/// runtime); the second a function that returns a future of a fresh [`conformance::Fixture`](crate::conformance::Fixture).
///
/// ```
/// # use std::sync::Arc;
/// # use storage_api::{Memory, Storage, conformance::Fixture};
/// struct Fresh(Arc<Memory>);
/// impl Fixture for Fresh {
///     fn storage(&self) -> Arc<dyn Storage> {
///         self.0.clone()
///     }
/// }
/// storage_api::conformance_suite!(futures::executor::block_on, || async { Fresh(Arc::default()) });
/// ```
#[macro_export]
macro_rules! conformance_suite {
    ($run:path, $fresh:expr) => {
        $crate::conformance_suite! { @each $run, $fresh;
            appended_rows_of_every_type_are_read_back,
            the_same_batch_twice_is_stored_once,
            the_same_number_in_another_table_or_from_another_sender_is_another_batch,
            numbers_may_come_in_any_order_within_the_window,
            a_batch_below_the_window_is_not_stored_twice,
            an_empty_batch_is_remembered,
            a_large_batch_is_one_batch,
            a_batch_beyond_the_bounds_is_refused,
            columns_find_their_place_by_name,
            dictionary_columns_are_unpacked,
            slices_of_a_batch_are_batches,
            one_batch_may_span_years,
            creating_a_table_again_changes_nothing,
            new_columns_read_as_null_in_older_rows,
            old_senders_go_on_after_a_table_has_grown,
            changes_of_what_is_stored_are_refused,
            tables_do_not_see_each_other,
            the_time_range_is_exact,
            a_projection_gives_these_columns_in_this_order,
            a_projection_of_nothing_counts_rows,
            a_limit_is_kept,
            an_empty_table_gives_no_batches,
            every_kind_of_predicate_on_every_type,
            random_predicates_agree_with_the_reference,
            what_is_unknown_is_refused,
            rows_that_do_not_fit_are_refused_whole,
            predicates_that_do_not_fit_are_refused,
            old_rows_are_dropped,
            what_was_acknowledged_is_there_after_a_restart,
            a_batch_sent_again_after_a_restart_is_stored_once,
            growth_and_retention_survive_a_restart,
            writers_and_readers_at_once,
            one_batch_sent_by_many_at_once_is_stored_once,
        }
    };
    (@each $run:path, $fresh:expr; $($behaviour:ident),* $(,)?) => {$(
        #[test]
        fn $behaviour() {
            fn run_to_end(task: $crate::conformance::Task) {
                $run(task);
            }
            run_to_end(::std::boxed::Box::pin(async {
                let mut fixture = ($fresh)().await;
                $crate::conformance::$behaviour(&mut fixture, run_to_end).await;
            }));
        }
    )*};
}

#[cfg(test)]
mod tests {
    use crate::Memory;

    use super::*;

    struct Fresh(Arc<Memory>);

    impl Fixture for Fresh {
        fn storage(&self) -> Arc<dyn Storage> {
            self.0.clone()
        }
    }

    crate::conformance_suite!(futures::executor::block_on, || async { Fresh(Arc::default()) });
}
