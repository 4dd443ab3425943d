//! The version of the schemas.

/// The version of the schemas; it grows by one whenever a column is added anywhere.
pub const SCHEMA_VERSION: u32 = 6;

/// Under which name files and batches state [`SCHEMA_VERSION`].
pub(crate) const VERSION_KEY: &str = "rheo.schema";
