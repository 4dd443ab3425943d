//! Integrity checks of the objects of a bucket.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStoreExt as _};
use rheo_core::id::Digest;
use rheo_core::name::TableName;
use rheo_core::part::Part;

use super::super::{DamagedPart, Defect, Error, STAGING, aside, defect_of_rows, integrity};
use super::{BucketDataset, staged};
use crate::names::object_name;

impl BucketDataset {
    pub(super) fn damage(&self, part: &Part, defect: Defect) -> DamagedPart {
        DamagedPart { part: part.clone(), file: self.path(&object_name(&part.path())), defect }
    }

    /// See [`super::super::Dataset::find_absent`].
    pub(in crate::dataset) fn find_absent(
        &self,
        parts: &[Part],
    ) -> Result<Vec<DamagedPart>, Error> {
        let mut found = BTreeMap::new();
        let tables: BTreeSet<&TableName> = parts.iter().map(|part| &part.table).collect();
        for table in tables {
            found.append(&mut self.list(table.as_str())?);
            found.append(&mut self.list(&format!("{STAGING}/{table}"))?);
        }
        let mut absent = Vec::new();
        for part in parts {
            let sizes =
                [staged(part), object_name(&part.path())].map(|key| found.get(&key).copied());
            let defect = match sizes {
                [Some(size), _] | [_, Some(size)] if size == part.bytes => continue,
                [None, None] => Defect::Missing,
                // Only its content tells whether the part was just replaced.
                _ => match self.inspect(part) {
                    Ok(()) => continue,
                    Err(Error::Damaged(damaged)) => damaged.defect,
                    Err(error) => return Err(error),
                },
            };
            absent.push(self.damage(part, defect));
        }
        Ok(absent)
    }

    /// See [`super::super::Dataset::inspect`].
    pub(in crate::dataset) fn inspect(&self, part: &Part) -> Result<(), Error> {
        let bytes = self.read(part)?;
        if part.digest.is_some() {
            return Ok(());
        }
        match defect_of_rows(part, bytes) {
            None => Ok(()),
            Some(defect) => Err(self.damage(part, defect).into()),
        }
    }

    /// Reads a part, staged or in place, and checks its digest.
    pub(super) fn read(&self, part: &Part) -> Result<Bytes, Error> {
        let key = object_name(&part.path());
        let found = match self.get(&staged(part)) {
            Err(StoreError::NotFound { .. }) => self.get(&key),
            found => found,
        };
        let bytes = match found {
            Ok(bytes) => bytes,
            Err(StoreError::NotFound { .. }) => {
                return Err(self.damage(part, Defect::Missing).into());
            }
            Err(error) => return Err(self.failed("read", &key, error)),
        };
        let digest = Digest::from_bytes(*blake3::hash(&bytes).as_bytes());
        match integrity::defect_of(part, digest, bytes.len() as u64) {
            None => Ok(bytes),
            Some(defect) => Err(self.damage(part, defect).into()),
        }
    }

    /// See [`super::super::Dataset::set_aside`].
    pub(in crate::dataset) fn set_damaged_aside(
        &self,
        part: &Part,
        suffix: &str,
    ) -> Result<Option<String>, Error> {
        let mut moved = None;
        for key in [object_name(&part.path()), staged(part)] {
            let aside = aside(&key, suffix);
            let (from, to) = (Path::from(key.as_str()), Path::from(aside.as_str()));
            match self.wait(self.store.copy(&from, &to)) {
                Ok(()) => {}
                Err(StoreError::NotFound { .. }) => continue,
                Err(error) => return Err(self.failed("set aside", &key, error)),
            }
            self.remove(key, &mut Vec::new())?;
            moved = Some(self.path(&aside));
        }
        Ok(moved)
    }
}
