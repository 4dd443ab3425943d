//! Tables for a terminal: aligned columns, numbers to the right, no wider than the line.
//!
//! Numbers have six significant digits and long values are cut. Rows and columns that do not fit are
//! left out, and the footer counts them. The other formats keep everything.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::TableSize;
use super::number::short;

/// The most characters of a value.
const CELL: usize = 48;

/// The separator of columns.
const GAP: &str = "  ";

/// The rows to print.
pub(super) struct TextTable {
    columns: Vec<TextColumn>,
    size: TableSize,
    /// The number of rows of the result, printed or not.
    rows: usize,
}

struct TextColumn {
    name: String,
    is_number: bool,
    cells: Vec<String>,
}

impl TextTable {
    pub(super) fn new(schema: &Schema, size: TableSize) -> Self {
        let column = |field: &arrow::datatypes::FieldRef| TextColumn {
            name: cut(field.name()),
            is_number: field.data_type().is_numeric(),
            cells: Vec::new(),
        };
        Self { columns: schema.fields().iter().map(column).collect(), size, rows: 0 }
    }

    pub(super) fn add(&mut self, rows: &RecordBatch) -> Result<(), ArrowError> {
        let shown = rows.num_rows().min(self.size.rows.saturating_sub(self.rows));
        self.rows += rows.num_rows();
        for (column, values) in self.columns.iter_mut().zip(rows.columns()) {
            cells(&values.slice(0, shown), &mut column.cells)?;
        }
        Ok(())
    }

    pub(super) fn render(&self) -> String {
        let mut columns: Vec<(&TextColumn, usize)> = Vec::new();
        let mut total = 0;
        for column in &self.columns {
            let cells = column.cells.iter().map(|cell| cell.chars().count());
            let width = cells.chain([column.name.chars().count()]).max().unwrap_or(0);
            total += width + if columns.is_empty() { 0 } else { GAP.len() };
            if total > self.size.width && !columns.is_empty() {
                break;
            }
            columns.push((column, width));
        }
        let rules: Vec<String> = columns.iter().map(|(_, width)| "-".repeat(*width)).collect();
        let shown = self.rows.min(self.size.rows);
        let mut text = line(&columns, |column| &columns[column].0.name);
        text += &line(&columns, |column| &rules[column]);
        for row in 0..shown {
            text += &line(&columns, |column| &columns[column].0.cells[row]);
        }
        text + &self.footer(shown, columns.len())
    }

    /// The line with the number of rows and columns, and of those printed.
    fn footer(&self, shown: usize, columns: usize) -> String {
        let rows = match (shown == self.rows, self.rows) {
            (true, 1) => "1 row".to_owned(),
            (true, rows) => format!("{rows} rows"),
            (false, rows) => format!("{shown} of {rows} rows"),
        };
        if columns == self.columns.len() {
            format!("({rows})\n")
        } else {
            format!("({rows}, {columns} of {} columns)\n", self.columns.len())
        }
    }
}

/// Formats one line: the `cell` of each column, padded to its width.
fn line<'a>(columns: &[(&TextColumn, usize)], cell: impl Fn(usize) -> &'a String) -> String {
    let mut text = String::new();
    for (index, (column, width)) in columns.iter().enumerate() {
        let cell = cell(index);
        let gap = if index == 0 { "" } else { GAP };
        let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
        let (before, after) =
            if column.is_number { (pad.as_str(), "") } else { ("", pad.as_str()) };
        text += &format!("{gap}{before}{cell}{after}");
    }
    text.truncate(text.trim_end_matches(' ').len());
    text + "\n"
}

/// Appends the values of an array as text; nulls are empty.
fn cells(values: &ArrayRef, cells: &mut Vec<String>) -> Result<(), ArrowError> {
    if values.data_type() == &DataType::Float64 {
        let numbers = values.as_primitive::<Float64Type>().iter();
        cells.extend(numbers.map(|number| number.map(short).unwrap_or_default()));
        return Ok(());
    }
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(values.as_ref(), &options)?;
    for row in 0..values.len() {
        cells.push(cut(&formatter.value(row).try_to_string()?));
    }
    Ok(())
}

/// Shortens a value to a cell, without line breaks.
fn cut(text: &str) -> String {
    let text = text.replace(['\n', '\r', '\t'], " ");
    match text.char_indices().nth(CELL) {
        Some(_) => text.chars().take(CELL - 1).chain(['…']).collect(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{sample, tables};

    #[test]
    fn a_table_fits_the_terminal_and_counts_omissions() {
        let trials: Vec<_> = (0..4).map(sample::trial).collect();
        let rows = crate::stored_rows::read(&tables::encode_trials(&trials).unwrap());
        let columns = ["trial", "net", "objective", "n0", "started", "config", "worker"];
        let columns = columns.map(|name| rows.schema().index_of(name).unwrap());
        let rows = super::super::flatten(&rows.project(&columns).unwrap()).unwrap();
        for (name, size) in [
            ("whole", TableSize::default()),
            ("cut", TableSize { rows: 2, width: 60 }),
            ("narrow", TableSize { rows: 2, width: 1 }),
        ] {
            let mut table = TextTable::new(&rows.schema(), size);
            table.add(&rows.slice(0, 1)).unwrap();
            table.add(&rows.slice(1, 3)).unwrap();
            insta::assert_snapshot!(name, table.render());
        }
    }
}
