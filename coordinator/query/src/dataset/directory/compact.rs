//! Compaction: merges small parts into few large ones, without retracted rows.
//!
//! Readers in place list a directory and then open its files, so they must never see a mix of old and
//! new parts. Therefore a whole new directory is prepared and exchanged with the old one atomically:
//!
//! 1. [`DirectoryDataset::compact`] prepares the new directory in `.staging`, durably;
//! 2. the caller journals the new list of parts, which are valid from now on;
//! 3. [`DirectoryDataset::publish`] exchanges the directories and removes the old one once no query
//!    reads it.
//!
//! Between 2 and 3, and after a failure of 3, queries find the parts in `.staging`; readers in place
//! still see the old parts, which hold the same rows. See `directory` for crashes.

use std::collections::BTreeSet;

use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rheo_core::id::SweepName;
use rheo_core::name::TableName;
use rheo_core::part::{Part, Retraction};

use super::super::{Compaction, Error, STAGING};
use super::DirectoryDataset;
use crate::conform::conform;
use crate::merge::SortedMerge;
use crate::names::is_part;
use crate::retraction::{self, retracted};
use crate::tables;

/// The approximate size of a merged part, in bytes.
const TARGET: u64 = 256 << 20;

/// The most parts merged into one. Bounds open files and memory: an open part of `trials`, with
/// hundreds of columns, takes about 5 MB.
const FAN_IN: usize = 8;

/// The number of rows held of each merged part.
const INPUT: usize = 256;

impl DirectoryDataset {
    /// See [`super::super::Dataset::compact`].
    pub(in crate::dataset) fn compact(
        &self,
        table: &TableName,
        sweep: &SweepName,
        parts: &[Part],
        retractions: &[Retraction],
    ) -> Result<Option<Compaction>, Error> {
        let mut old = parts.to_vec();
        old.sort_by_key(|part| part.first);
        let stays =
            |group: &&[Part]| matches!(group, [part] if retracted(part, retractions).is_empty());
        let groups = groups(&old);
        if groups.iter().all(stays) {
            return Ok(None);
        }
        let directory = Part::directory(table, sweep);
        let staged = self.prepare(&directory, &old)?;
        let mut new = Vec::new();
        for group in groups {
            if stays(&group) {
                for part in group {
                    self.disk.link(&part.path(), &format!("{staged}/{}", part.name()))?;
                    new.push(part.clone());
                }
            } else {
                new.extend(self.merge(&staged, group, retractions)?);
            }
        }
        self.disk.sync(staged.as_ref())?;
        Ok(Some(Compaction { table: table.clone(), sweep: sweep.clone(), old, new }))
    }

    /// Creates an empty staged directory for the new parts. First checks that the old parts are
    /// present, that no query reads the staged directory, and that directories can be exchanged.
    fn prepare(&self, directory: &str, old: &[Part]) -> Result<String, Error> {
        let staged = format!("{STAGING}/{directory}");
        let damaged = self.find_damaged(directory, &old.iter().collect::<Vec<_>>())?;
        if let Some(damaged) = damaged.into_iter().next() {
            return Err(damaged.into());
        }
        self.clear_retired()?;
        if self.retired().contains(&staged) {
            return Err(Error::Busy { path: self.disk.path(&staged) });
        }
        self.clear(&staged)?;
        let probes = [format!("{STAGING}/probe"), format!("{STAGING}/probe-2")];
        for probe in &probes {
            self.disk.create_directory(probe)?;
        }
        self.disk.exchange(&probes[0], &probes[1]).map_err(Error::NoExchange)?;
        for probe in &probes {
            self.disk.remove_empty(probe)?;
        }
        self.disk.create_directory(&staged)?;
        Ok(staged)
    }

    /// Merges a group of parts into one; none if no row remains.
    fn merge(
        &self,
        staged: &str,
        group: &[Part],
        retractions: &[Retraction],
    ) -> Result<Option<Part>, Error> {
        let Some((oldest, newest)) = group.first().zip(group.last()) else {
            return Ok(None);
        };
        let mut merged = Part {
            last: newest.last,
            generation: group.iter().map(|part| part.generation).max().unwrap_or(0) + 1,
            ..oldest.clone()
        };
        let inputs = group.iter().map(|part| self.read(part, retracted(part, retractions)));
        let rows = SortedMerge::new(inputs.collect::<Result<_, _>>()?)?;
        let path = format!("{staged}/{}", merged.name());
        self.write_file(&path, &mut merged, rows)?;
        if merged.rows == 0 {
            self.disk.remove(&path)?;
            return Ok(None);
        }
        Ok(Some(merged))
    }

    /// Reads the rows of a part, without retracted trials. Always checks the digest first, because a
    /// damaged part must not be merged under a new digest.
    fn read(
        &self,
        part: &Part,
        retracted: BTreeSet<u64>,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, Error>> + use<>, Error> {
        let file = self.open(part)?;
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(INPUT).build()?;
        let schema = tables::schema((&part.table).try_into()?);
        Ok(reader.map(move |rows| {
            let rows = conform(&rows?, &schema)?;
            Ok(retraction::apply(&rows, &retracted)?)
        }))
    }

    /// See [`super::super::Dataset::publish`].
    pub(in crate::dataset) fn publish(&self, compaction: &Compaction) -> Result<(), Error> {
        let directory = Part::directory(&compaction.table, &compaction.sweep);
        let files = self.disk.list(&directory)?;
        let mut parts: Vec<String> = files.into_iter().map(|(name, _)| name).collect();
        parts.retain(|name| is_part(name));
        let old: BTreeSet<String> = compaction.old.iter().map(Part::name).collect();
        if parts != Vec::from_iter(old) {
            return Err(Error::Changed { path: self.disk.path(&directory) });
        }
        let staged = format!("{STAGING}/{directory}");
        self.disk.exchange(&directory, &staged)?;
        self.retired().push(staged);
        self.clear_retired()
    }
}

/// Groups adjacent parts to merge.
fn groups(parts: &[Part]) -> Vec<&[Part]> {
    let mut groups = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, part) in parts.iter().enumerate() {
        if index > start && (bytes + part.bytes > TARGET || index - start == FAN_IN) {
            groups.push(&parts[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += part.bytes;
    }
    groups.extend((start < parts.len()).then_some(&parts[start..]));
    groups
}
