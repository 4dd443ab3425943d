//! Which journal a coordinator has: behind [`Journal`], so that whoever opens one names none.

use std::path::Path;
use std::sync::Arc;

use crate::journal::{Error, Journal};
use crate::redb::RedbJournal;

/// Opens the journal at a path, which is created if there is none, with so many bytes of it in
/// memory at most.
pub type OpenJournal = fn(&Path, usize) -> Result<Arc<dyn Journal>, Error>;

/// Opens the journal that is used unless a program chooses another one: [`RedbJournal`].
pub fn open(path: &Path, cache: usize) -> Result<Arc<dyn Journal>, Error> {
    Ok(Arc::new(RedbJournal::open_with_cache(path, cache)?))
}
