//! The functions `recipe` and `network_of`, which find trials that differ only in their seed. They
//! turn the configuration of a trial into bytes; equal bytes mean that trials may be pooled.
//!
//! The points of a sweep identify such trials only within that sweep, and swept values of different
//! sweeps are not comparable. So the functions compare the configuration itself, without evaluation,
//! analyses and storage, which do not change a trial. Views number the recipes by rank, because the
//! bytes are long and rows are many; bytes have no default window frame, so the windows state one,
//! which a rank ignores.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};

use crate::config;

/// The groups that define a trial, except its seed. The seeds of single purposes are part of it.
const RECIPE: &[&str] = &["task", "network", "training", "seeds"];

/// The group that two tasks share when their neurons are compared.
const NETWORK: &[&str] = &["network"];

/// The functions `recipe(config)` and `network_of(config)`.
pub(super) fn functions() -> [ScalarUDF; 2] {
    [("recipe", RECIPE), ("network_of", NETWORK)].map(|(name, parts)| {
        create_udf(
            name,
            vec![config::data_type()],
            DataType::Binary,
            Volatility::Immutable,
            Arc::new(|columns: &[ColumnarValue]| bytes(columns, parts)),
        )
    })
}

/// The `parts` of each configuration in Arrow's row format, where equal values have equal bytes.
fn bytes(columns: &[ColumnarValue], parts: &[&str]) -> Result<ColumnarValue> {
    let columns = ColumnarValue::values_to_arrays(columns)?;
    let [config] = columns.as_slice() else {
        return exec_err!("a configuration is expected");
    };
    let config = config.as_struct();
    let parts: Vec<ArrayRef> =
        parts.iter().filter_map(|name| config.column_by_name(name).cloned()).collect();
    let fields = parts.iter().map(|part| SortField::new(part.data_type().clone())).collect();
    let rows = RowConverter::new(fields)?.convert_columns(&parts)?;
    let bytes = BinaryArray::from_iter_values(rows.iter());
    Ok(ColumnarValue::Array(Arc::new(bytes)))
}
