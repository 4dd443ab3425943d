//! Schemas of workloads as values. The state machine knows a trial's configuration only as JSON
//! with such a schema.

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
