//! Which trials differ in their seed alone? The functions `recipe` and `network_of` turn the
//! configuration of a trial into bytes that are equal for trials that may be pooled.
//!
//! Points of a sweep would tell that within a sweep only, and the values that a sweep gave to its
//! parameters mean nothing beside those of another sweep. So the configuration itself is compared,
//! without what only observes a trial: how it is evaluated and analysed, and how it is kept. Views
//! number the recipes by their rank, because the bytes are long and rows of results many; bytes have
//! no default frame, so the windows state one, which a rank ignores.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};

use crate::config;

/// All that makes a trial, its seed aside; seeds of single purposes are no replicates.
const RECIPE: &[&str] = &["task", "network", "training", "seeds"];

/// What two tasks have in common where their neurons are compared.
const NETWORK: &[&str] = &["network"];

/// `recipe(config)` and `network_of(config)`.
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

/// The parts of each configuration in Arrow's row format, in which equal means the same bytes.
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
