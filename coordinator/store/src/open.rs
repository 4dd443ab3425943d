//! Choice of the journal implementation, so that callers depend only on [`Journal`].

use std::path::Path;
use std::sync::Arc;

use crate::journal::{Error, Journal};
use crate::redb::RedbJournal;

/// Opens or creates the journal at a path, with a cache of at most the given number of bytes.
pub type OpenJournal = fn(&Path, usize) -> Result<Arc<dyn Journal>, Error>;

/// Opens or creates the default journal, a [`RedbJournal`], with a cache of `cache` bytes.
pub fn open(path: &Path, cache: usize) -> Result<Arc<dyn Journal>, Error> {
    Ok(Arc::new(RedbJournal::open_with_cache(path, cache)?))
}
