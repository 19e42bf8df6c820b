//! How the values of a column are laid out in a file, by what they are like.

use arrow_array::{Array, ArrowPrimitiveType, PrimitiveArray, downcast_primitive_array};
use arrow_buffer::ToByteSlice;

/// Values that are looked at.
const SAMPLE: usize = 8192;
/// Of fewer nothing is concluded.
const FEW: usize = 512;

/// Whether hardly any number of the column comes twice, so that a dictionary of them would be as long as the column. Of what is no number
/// nothing is said: the writer finds out by itself.
pub(crate) fn is_diverse(column: &dyn Array) -> bool {
    downcast_primitive_array!(
        column => is_diverse_of(column),
        _ => false
    )
}

fn is_diverse_of<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>) -> bool {
    let step = column.len().div_ceil(SAMPLE).max(1);
    let rows = (0..column.len()).step_by(step).filter(|&row| column.is_valid(row));
    let mut sample: Vec<T::Native> = rows.map(|row| column.value(row)).collect();
    let looked_at = sample.len();
    sample.sort_unstable_by(|a, b| a.to_byte_slice().cmp(b.to_byte_slice()));
    sample.dedup_by(|a, b| a.to_byte_slice() == b.to_byte_slice());
    looked_at >= FEW && sample.len() > looked_at / 2
}
