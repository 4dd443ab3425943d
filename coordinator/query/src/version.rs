//! The version of the schemas.

/// The version of the schemas; grows by one with every added column.
pub const SCHEMA_VERSION: u32 = 6;

/// The metadata key of [`SCHEMA_VERSION`] in files and batches.
pub(crate) const VERSION_KEY: &str = "rheo.schema";
