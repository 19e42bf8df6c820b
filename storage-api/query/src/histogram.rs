//! Histograms of durations in two list columns: bucket numbers and the counts in them. Bucket `b` holds durations in
//! `(2^((b-1)/8), 2^(b/8)]` seconds, which is a Prometheus native histogram of schema 3.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int16Type, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, Int16Array, ListArray, UInt64Array};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, TypeSignature, Volatility};

const BUCKETS_PER_DOUBLING: f64 = 8.0;

/// `histogram_quantile(q, buckets, counts)`: the duration in seconds below which the share `q` (0 to 1) of all counted durations
/// lies. Off by at most the width of a bucket (9.05 %); within a bucket durations are taken as spread evenly over its logarithm, as
/// Prometheus does. NULL when nothing was counted.
#[must_use]
pub fn histogram_quantile() -> AggregateUDF {
    AggregateUDF::from(HistogramQuantile {
        signature: Signature::new(
            TypeSignature::Exact(vec![DataType::Float64, list(DataType::Int16), list(DataType::UInt32)]),
            Volatility::Immutable,
        ),
    })
}

/// The value below which the share `q` of a histogram lies, in seconds.
pub(crate) fn quantile(buckets: &BTreeMap<i16, u64>, q: f64) -> Option<f64> {
    let total = buckets.values().fold(0u64, |sum, count| sum.saturating_add(*count));
    if total == 0 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "far finer than a bucket")]
    let (rank, float) = (q * total as f64, |count: u64| count as f64);
    let mut below = 0u64;
    for (bucket, count) in buckets.iter().filter(|(_, count)| **count > 0) {
        let until = below.saturating_add(*count);
        if float(until) >= rank {
            let share = ((rank - float(below)) / float(*count)).clamp(0.0, 1.0);
            return Some(((f64::from(*bucket) - 1.0 + share) / BUCKETS_PER_DOUBLING).exp2());
        }
        below = until;
    }
    buckets.keys().last().map(|bucket| (f64::from(*bucket) / BUCKETS_PER_DOUBLING).exp2())
}

fn list(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", element, false)))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct HistogramQuantile {
    signature: Signature,
}

impl AggregateUDFImpl for HistogramQuantile {
    fn name(&self) -> &'static str {
        "histogram_quantile"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let field = |name: &str, data_type| Arc::new(Field::new(format!("{}[{name}]", args.name), data_type, true));
        Ok(vec![
            field("q", DataType::Float64),
            field("buckets", list(DataType::Int16)),
            field("counts", list(DataType::UInt64)),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return plan_err!("histogram_quantile counts every row: DISTINCT has no meaning");
        }
        Ok(Box::<Merged>::default())
    }
}

/// The sum of the histograms seen so far: at most one entry per bucket number, 65,536.
#[derive(Debug, Default)]
struct Merged {
    q: Option<f64>,
    buckets: BTreeMap<i16, u64>,
}

impl Merged {
    fn set_q(&mut self, values: &ArrayRef) -> Result<()> {
        let Some(q) = values.as_primitive_opt::<Float64Type>().and_then(|values| values.iter().flatten().next()) else {
            return Ok(());
        };
        if !(0.0..=1.0).contains(&q) {
            return exec_err!("histogram_quantile wants a share between 0 and 1, not {q}");
        }
        self.q = Some(q);
        Ok(())
    }

    fn add(&mut self, buckets: &ListArray, counts: &ListArray, count: impl Fn(&ArrayRef, usize) -> u64) -> Result<()> {
        let Some(numbers) = buckets.values().as_primitive_opt::<Int16Type>() else {
            return exec_err!("a histogram's buckets are 16-bit integers");
        };
        for row in 0..buckets.len() {
            if buckets.is_null(row) || counts.is_null(row) {
                continue;
            }
            let span = |list: &ListArray| (list.value_offsets()[row] as usize, list.value_length(row) as usize);
            let ((first, length), (first_count, counted)) = (span(buckets), span(counts));
            if length != counted {
                return exec_err!("a histogram has {length} buckets but {counted} counts");
            }
            for place in 0..length {
                let sum = self.buckets.entry(numbers.value(first + place)).or_default();
                *sum = sum.saturating_add(count(counts.values(), first_count + place));
            }
        }
        Ok(())
    }
}

impl Accumulator for Merged {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [q, buckets, counts] = values else { return exec_err!("histogram_quantile takes three values") };
        let (Some(buckets), Some(counts)) = (buckets.as_list_opt::<i32>(), counts.as_list_opt::<i32>()) else {
            return exec_err!("histogram_quantile takes two lists");
        };
        self.set_q(q)?;
        self.add(buckets, counts, |values, place| {
            values.as_primitive_opt::<UInt32Type>().map_or(0, |values| u64::from(values.value(place)))
        })
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [q, buckets, counts] = states else { return exec_err!("a state of histogram_quantile has three parts") };
        let (Some(buckets), Some(counts)) = (buckets.as_list_opt::<i32>(), counts.as_list_opt::<i32>()) else {
            return exec_err!("a state of histogram_quantile has two lists");
        };
        self.set_q(q)?;
        self.add(buckets, counts, |values, place| {
            values.as_primitive_opt::<UInt64Type>().map_or(0, |values| values.value(place))
        })
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let one = |element: DataType, values: ArrayRef| {
            let field = Arc::new(Field::new("item", element, false));
            let offsets = OffsetBuffer::from_lengths([values.len()]);
            Ok::<_, datafusion::error::DataFusionError>(ScalarValue::List(Arc::new(ListArray::try_new(
                field, offsets, values, None,
            )?)))
        };
        let buckets: Int16Array = self.buckets.keys().copied().collect::<Vec<_>>().into();
        let counts: UInt64Array = self.buckets.values().copied().collect::<Vec<_>>().into();
        Ok(vec![
            ScalarValue::Float64(self.q),
            one(DataType::Int16, Arc::new(buckets))?,
            one(DataType::UInt64, Arc::new(counts))?,
        ])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.q.and_then(|q| quantile(&self.buckets, q))))
    }

    fn size(&self) -> usize {
        // A B-tree's leaves are about two thirds full.
        size_of::<Self>() + self.buckets.len() * 16 * 3 / 2
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bucket_of(seconds: f64) -> i16 {
        (seconds.log2() * BUCKETS_PER_DOUBLING).ceil() as i16
    }

    #[test]
    fn nothing_counted_has_no_quantile() {
        assert_eq!(quantile(&BTreeMap::new(), 0.5), None);
        assert_eq!(quantile(&BTreeMap::from([(3, 0)]), 0.5), None);
    }

    proptest! {
        #[test]
        fn a_quantile_is_off_by_at_most_a_bucket(mut durations in prop::collection::vec(1e-6f64..100.0, 1..300), q in 0.0f64..=1.0) {
            let mut buckets = BTreeMap::new();
            for duration in &durations {
                *buckets.entry(bucket_of(*duration)).or_insert(0u64) += 1;
            }
            durations.sort_by(f64::total_cmp);
            // The smallest duration that at least this share does not exceed.
            let rank = ((q * durations.len() as f64).ceil() as usize).max(1);
            let exact = durations[rank - 1];
            let found = quantile(&buckets, q).unwrap();
            prop_assert!((found / exact).log2().abs() <= 1.0 / BUCKETS_PER_DOUBLING + 1e-9, "{found} for {exact}");
        }
    }
}
