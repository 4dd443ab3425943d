//! Sort order of parts: by trial, then epoch, then age.
//!
//! The order makes statistics selective. A flush is small and sorts in memory; compaction merges
//! sorted parts and holds only a few rows of each, because all rows may not fit into memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use arrow::array::{AsArray, UInt64Array};
use arrow::compute::{interleave_record_batch, take_record_batch};
use arrow::datatypes::{Int32Type, UInt64Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::tables;

/// Rows per merged batch.
const OUTPUT: usize = 8192;

/// The trial of a row and its epoch, 0 in tables without epochs.
type SortKey = (u64, i32);

/// Sorts `rows` stably by their keys.
pub(crate) fn sort(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let keys: Vec<SortKey> = (0..rows.num_rows()).map(|row| sort_key(rows, row)).collect();
    let mut order: Vec<usize> = (0..rows.num_rows()).collect();
    order.sort_by_key(|row| keys[*row]);
    let order = UInt64Array::from_iter_values(order.into_iter().map(|row| row as u64));
    take_record_batch(rows, &order)
}

fn sort_key(rows: &RecordBatch, row: usize) -> SortKey {
    let trial = rows.column(0).as_primitive::<UInt64Type>().value(row);
    // Only `epoch` has this type right after the key columns, see `tables`.
    let epoch = rows.column(tables::KEYS.len()).as_primitive_opt::<Int32Type>();
    (trial, epoch.map_or(0, |epoch| epoch.value(row)))
}

/// Merges sorted inputs, the oldest first, into sorted batches.
pub(crate) struct SortedMerge<I> {
    inputs: Vec<I>,
    /// The current batch of each input and the next row in it.
    heads: Vec<Option<(RecordBatch, usize)>>,
    /// The keys of the next rows of all inputs.
    next: BinaryHeap<Reverse<(SortKey, usize)>>,
}

impl<I, E> SortedMerge<I>
where
    I: Iterator<Item = Result<RecordBatch, E>>,
    E: From<ArrowError>,
{
    pub(crate) fn new(inputs: Vec<I>) -> Result<Self, E> {
        let heads = inputs.iter().map(|_| None).collect();
        let mut merge = Self { inputs, heads, next: BinaryHeap::new() };
        for input in 0..merge.inputs.len() {
            merge.refill(input)?;
        }
        Ok(merge)
    }

    /// Advances an input to its next batch with rows.
    fn refill(&mut self, input: usize) -> Result<(), E> {
        self.heads[input] = None;
        for rows in self.inputs[input].by_ref() {
            let rows = rows?;
            if rows.num_rows() > 0 {
                self.next.push(Reverse((sort_key(&rows, 0), input)));
                self.heads[input] = Some((rows, 0));
                break;
            }
        }
        Ok(())
    }

    /// The next batch of merged rows; none at the end.
    fn advance(&mut self) -> Result<Option<RecordBatch>, E> {
        let mut batches: Vec<RecordBatch> = Vec::new();
        // The index in `batches` of the current batch of each input.
        let mut slots: Vec<Option<usize>> = vec![None; self.inputs.len()];
        let mut picked: Vec<(usize, usize)> = Vec::with_capacity(OUTPUT);
        while picked.len() < OUTPUT {
            let Some(Reverse((_, input))) = self.next.pop() else {
                break;
            };
            let Some((rows, row)) = &mut self.heads[input] else {
                break;
            };
            let slot = *slots[input].get_or_insert_with(|| {
                batches.push(rows.clone());
                batches.len() - 1
            });
            picked.push((slot, *row));
            *row += 1;
            if *row < rows.num_rows() {
                self.next.push(Reverse((sort_key(rows, *row), input)));
            } else {
                slots[input] = None;
                self.refill(input)?;
            }
        }
        if picked.is_empty() {
            return Ok(None);
        }
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        Ok(Some(interleave_record_batch(&batches, &picked)?))
    }
}

impl<I, E> Iterator for SortedMerge<I>
where
    I: Iterator<Item = Result<RecordBatch, E>>,
    E: From<ArrowError>,
{
    type Item = Result<RecordBatch, E>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

#[cfg(test)]
mod tests {
    use arrow::compute::concat_batches;
    use rheo_model::row::{Rows, Table};

    use super::*;
    use crate::{sample, tables};

    /// Rows of `epochs` with these trials and epochs, and the age in `wall_s`.
    fn rows(keys: &[(u64, i32, u32)]) -> RecordBatch {
        let batches = keys.iter().map(|(trial, epoch, age)| {
            let mut row = sample::epoch(*trial, *epoch);
            row.wall_s = f64::from(*age);
            let rows = Rows { epochs: vec![row], ..Rows::default() };
            crate::stored_rows::read(&crate::encode(&sample::keys(*trial), &rows).unwrap()[0])
        });
        let schema = tables::schema(Table::Epochs);
        concat_batches(&schema, &batches.collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn rows_are_sorted_stably_by_trial_and_epoch() {
        let mixed = rows(&[(2, 0, 0), (1, 1, 1), (1, 0, 2), (2, -1, 3), (1, 0, 4)]);
        let sorted = rows(&[(1, 0, 2), (1, 0, 4), (1, 1, 1), (2, -1, 3), (2, 0, 0)]);
        assert_eq!(sort(&mixed).unwrap(), sorted);
    }

    #[test]
    fn a_merge_equals_a_sort_of_all_rows() {
        // Equal keys in different inputs, batches without rows, an input without batches, and
        // more rows than fit into one batch of the output.
        let parts: Vec<Vec<RecordBatch>> = (0..3)
            .map(|part| {
                let batch = |batch: u64| {
                    let count = u32::try_from(batch % 4 * 60).unwrap();
                    let row = |row: u32| (batch * 20 + u64::from(row / 20), 0, part);
                    rows(&(0..count).map(row).collect::<Vec<_>>())
                };
                (0..40).map(batch).collect()
            })
            .chain([Vec::new()])
            .collect();
        let all: Vec<RecordBatch> = parts.iter().flatten().cloned().collect();
        let schema = tables::schema(Table::Epochs);
        let expected = sort(&concat_batches(&schema, &all).unwrap()).unwrap();

        let inputs = parts.into_iter().map(|part| part.into_iter().map(Ok::<_, ArrowError>));
        let merge = SortedMerge::new(inputs.collect()).unwrap();
        let merged: Vec<RecordBatch> = merge.collect::<Result<_, _>>().unwrap();
        assert!(merged.len() > 1);
        assert_eq!(concat_batches(&schema, &merged).unwrap(), expected);
    }
}
