//! Conversion of rows of an older schema to the current one: missing columns are null.
//!
//! This is the counterpart of the rule in `tables` by which schemas evolve. Columns are matched by
//! name, also within structs and lists of structs, so that `config` may grow, too. It serves batches
//! and compaction; DataFusion applies the same rule to queried parts.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray, new_null_array};
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

/// Converts `rows` to `schema`: missing columns are null, unknown columns are dropped.
pub(crate) fn conform(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = schema.fields().iter().map(|field| match rows.column_by_name(field.name()) {
        Some(column) => conform_array(column, field),
        None => Ok(new_null_array(field.data_type(), rows.num_rows())),
    });
    RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)
}

fn conform_array(array: &ArrayRef, field: &Field) -> Result<ArrayRef, ArrowError> {
    match (array.data_type(), field.data_type()) {
        (old, new) if old == new => Ok(Arc::clone(array)),
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let array = array.as_struct();
            let children = fields.iter().map(|field| match array.column_by_name(field.name()) {
                Some(child) => conform_array(child, field),
                None => Ok(new_null_array(field.data_type(), array.len())),
            });
            let children = children.collect::<Result<_, _>>()?;
            let nulls = array.nulls().cloned();
            Ok(Arc::new(StructArray::try_new(fields.clone(), children, nulls)?))
        }
        (DataType::List(_), DataType::List(item)) => {
            let array = array.as_list::<i32>();
            let values = conform_array(array.values(), item)?;
            let (offsets, nulls) = (array.offsets().clone(), array.nulls().cloned());
            Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, nulls)?))
        }
        (old, new) => Err(ArrowError::SchemaError(format!(
            "column `{}` changed from {old} to {new}",
            field.name()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int32Array;
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{Fields, Schema};

    use super::*;

    fn of(fields: Vec<Field>) -> DataType {
        DataType::Struct(Fields::from(fields))
    }

    #[test]
    fn missing_columns_are_null_at_any_depth() {
        let a = Field::new("a", DataType::Int32, true);
        let b = Field::new("b", DataType::Float64, true);
        let item = |fields| Arc::new(Field::new_list_field(of(fields), true));
        let structs = StructArray::new(
            vec![a.clone()].into(),
            vec![Arc::new(Int32Array::from(vec![1, 2, 3]))],
            None,
        );
        let list = ListArray::new(
            item(vec![a.clone()]),
            OffsetBuffer::from_lengths([2, 1]),
            Arc::new(structs),
            None,
        );
        let old = Schema::new(vec![
            Field::new("list", DataType::List(item(vec![a.clone()])), true),
            Field::new("gone", DataType::Int32, true),
        ]);
        let gone: ArrayRef = Arc::new(Int32Array::from(vec![7, 8]));
        let old = RecordBatch::try_new(old.into(), vec![Arc::new(list), gone]).unwrap();

        let new: SchemaRef = Arc::new(Schema::new(vec![
            Field::new("new", DataType::Utf8, true),
            Field::new("list", DataType::List(item(vec![a, b])), true),
        ]));
        let rows = conform(&old, &new).unwrap();
        assert_eq!(rows.schema(), new);
        assert_eq!(rows.column(0).null_count(), 2);
        let structs = rows.column(1).as_list::<i32>().values().as_struct();
        assert_eq!(structs.column(0).as_ref(), &Int32Array::from(vec![1, 2, 3]));
        assert_eq!(structs.column(1).null_count(), 3);
    }

    #[test]
    fn a_column_that_changed_its_type_is_refused() {
        let old = Schema::new(vec![Field::new("a", DataType::Int32, true)]);
        let rows = RecordBatch::new_empty(old.into());
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Utf8, true)]));
        assert!(conform(&rows, &schema).is_err());
    }
}
