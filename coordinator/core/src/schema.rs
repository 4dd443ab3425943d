//! Schemas: what a workload says about the trials of its sweeps, as values. The engine of sweeps
//! knows a trial's configuration as JSON with such a schema, and nothing more of it.

pub mod document;
pub mod field;
mod resolve;
mod workload;

pub use field::{FieldSchema, FieldType, NumberRange, ObjectSchema};
pub use resolve::FieldMismatch;
pub use workload::{
    FieldConflict, MetricField, NoRules, RemedyExamples, Vocabulary, WorkloadRegistry,
    WorkloadRules, WorkloadSchema,
};
