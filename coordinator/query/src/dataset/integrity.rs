//! Integrity of the files of parts.
//!
//! Bits flip on disks, and users remove files. The journal holds the size and the digest of each part;
//! a part is checked against them when it is first opened after a start, before a merge, and by `rheo
//! verify`. A damaged part is refused by name and never read.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::AsArray;
use arrow::datatypes::UInt64Type;
use arrow::record_batch::RecordBatch;
use rheo_core::id::Digest;
use rheo_core::part::{Part, TrialRanges};

use serde::{Deserialize, Serialize};

use super::Error;

/// The size of a read, in bytes.
const BUFFER: usize = 1 << 20;

/// The defect of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Defect {
    /// The file does not exist.
    Missing,
    /// The file has another size.
    Size {
        /// The actual size, in bytes.
        found: u64,
    },
    /// The digest of the bytes differs.
    Content,
    /// The file cannot be read.
    Unreadable(String),
}

impl Defect {
    /// The name of the defect in output.
    pub fn name(&self) -> &'static str {
        if *self == Self::Missing { "missing" } else { "damaged" }
    }
}

/// A part whose file is missing or damaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct DamagedPart {
    /// The part.
    pub part: Part,
    /// The path or URL of the file.
    pub file: String,
    /// The defect.
    pub defect: Defect,
}

impl DamagedPart {
    /// The defect, as the end of a sentence.
    pub fn detail(&self) -> String {
        match &self.defect {
            Defect::Missing => "is missing".to_owned(),
            Defect::Size { found } => {
                format!("is damaged: it has {found} bytes where {} were written", self.part.bytes)
            }
            Defect::Content => {
                "is damaged: its bytes are not those that were written (the digest differs)"
                    .to_owned()
            }
            Defect::Unreadable(why) => format!("is damaged: it cannot be read: {why}"),
        }
    }
}

impl fmt::Display for DamagedPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Part { sweep, table, .. } = &self.part;
        write!(
            f,
            "part of table `{table}` of sweep `{sweep}` {}: `{}`; `rheo verify` lists every damage, `rheo verify --repair` has the trials in it start over, and `where sweep <> '{sweep}'` asks the other sweeps",
            self.detail(),
            self.file
        )
    }
}

/// The results of all checks since this process started.
#[derive(Debug, Default)]
pub(super) struct IntegrityRegister {
    /// Whether each checked part was found undamaged, by path. Locked while the part is checked.
    checked: Mutex<BTreeMap<String, Arc<Mutex<bool>>>>,
    damaged: Mutex<BTreeMap<String, DamagedPart>>,
}

impl IntegrityRegister {
    /// Runs `inspect`, unless the part was found undamaged before.
    pub(super) fn once(
        &self,
        part: &Part,
        inspect: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let cell = Arc::clone(lock(&self.checked).entry(part.path()).or_default());
        let mut is_whole = lock(&cell);
        if !*is_whole {
            self.note(part, inspect())?;
            *is_whole = true;
        }
        Ok(())
    }

    /// Whether the part was found undamaged before.
    pub(super) fn is_whole(&self, part: &Part) -> bool {
        let cell = lock(&self.checked).get(&part.path()).cloned();
        cell.is_some_and(|cell| *lock(&cell))
    }

    /// The paths of the parts that were found undamaged, except those being checked.
    pub(super) fn whole(&self) -> Vec<String> {
        let checked = lock(&self.checked).clone();
        let is_whole = |cell: &Arc<Mutex<bool>>| cell.try_lock().is_ok_and(|is_whole| *is_whole);
        checked.into_iter().filter(|(_, cell)| is_whole(cell)).map(|(path, _)| path).collect()
    }

    /// Whether a check is running.
    pub(super) fn is_busy(&self) -> bool {
        lock(&self.checked).values().any(|cell| cell.try_lock().is_err())
    }

    /// Records that another process found the parts at these paths undamaged.
    pub(super) fn add_whole(&self, paths: Vec<String>) {
        for path in paths {
            lock(&self.damaged).remove(&path);
            let cell = Arc::clone(lock(&self.checked).entry(path).or_default());
            *lock(&cell) = true;
        }
    }

    /// Records the result of a check.
    pub(super) fn note<T>(&self, part: &Part, found: Result<T, Error>) -> Result<T, Error> {
        match &found {
            Err(Error::Damaged(damaged)) => self.add(damaged),
            Err(_) => {}
            Ok(_) => _ = lock(&self.damaged).remove(&part.path()),
        }
        found
    }

    pub(super) fn add(&self, damaged: &DamagedPart) {
        lock(&self.damaged).insert(damaged.part.path(), damaged.clone());
    }

    /// Records that exactly `absent` of `parts` are missing or have another size.
    pub(super) fn note_absent(&self, parts: &[Part], absent: &[DamagedPart]) {
        let mut damaged = lock(&self.damaged);
        if !damaged.is_empty() {
            for part in parts {
                let path = part.path();
                let was_absent = |damaged: &DamagedPart| {
                    matches!(damaged.defect, Defect::Missing | Defect::Size { .. })
                };
                if damaged.get(&path).is_some_and(was_absent) {
                    damaged.remove(&path);
                }
            }
        }
        damaged.extend(absent.iter().map(|one| (one.part.path(), one.clone())));
    }

    /// Drops all results about a part.
    pub(super) fn forget(&self, part: &Part) {
        lock(&self.damaged).remove(&part.path());
        lock(&self.checked).remove(&part.path());
    }

    /// The damaged parts, by path.
    pub(super) fn damaged(&self) -> Vec<DamagedPart> {
        lock(&self.damaged).values().cloned().collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The digest and the length of all bytes of `source`.
pub(super) fn digest_of(mut source: impl Read) -> io::Result<(Digest, u64)> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; BUFFER];
    let mut length = 0;
    loop {
        let count = match source.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if count == 0 {
            return Ok((finish(&hasher), length));
        }
        hasher.update(&buffer[..count]);
        length += count as u64;
    }
}

/// The digest of `hasher`.
pub(super) fn finish(hasher: &blake3::Hasher) -> Digest {
    Digest::from_bytes(*hasher.finalize().as_bytes())
}

/// The defect of a file of `part` with this digest and length; none if both match.
pub(super) fn defect_of(part: &Part, digest: Digest, length: u64) -> Option<Defect> {
    if length != part.bytes {
        return Some(Defect::Size { found: length });
    }
    part.digest.is_some_and(|expected| expected != digest).then_some(Defect::Content)
}

/// A writer that hashes all bytes it writes.
pub(super) struct HashingWriter<W> {
    inner: W,
    hasher: blake3::Hasher,
}

impl<W> HashingWriter<W> {
    pub(super) fn new(inner: W) -> Self {
        Self { inner, hasher: blake3::Hasher::new() }
    }

    /// The digest of all written bytes.
    pub(super) fn digest(&self) -> Digest {
        finish(&self.hasher)
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Adds the trials of sorted `rows`.
pub(super) fn add_trials(ranges: &mut TrialRanges, rows: &RecordBatch) {
    let trials = rows.column(0).as_primitive::<UInt64Type>();
    trials.values().iter().for_each(|trial| ranges.insert(*trial));
}
