//! The reference of tables, views and functions in docs/results.md is generated from the code. `RHEO_BLESS=1`
//! updates it.

use std::fmt::Write;
use std::fs;

use rheo_model::row::Table;
use rheo_query::engine::{IMPORTANCE, SqlFunction, VIEWS};
use rheo_query::{Column, SCHEMA_VERSION, columns, schema};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/results.md");

#[test]
fn the_reference_of_tables_equals_the_code() {
    let written = fs::read_to_string(PATH).unwrap();
    let (head, _) = written.split_once("-->\n").unwrap();
    let generated = format!("{head}-->\n{}", generate());
    if std::env::var_os("RHEO_BLESS").is_some() {
        fs::write(PATH, &generated).unwrap();
    } else {
        assert!(written == generated, "docs/results.md is behind the code; set RHEO_BLESS=1");
    }
}

#[test]
fn schemas_only_change_on_purpose() {
    for table in Table::ALL {
        let mut text = String::new();
        for field in schema(table).fields() {
            let null = if field.is_nullable() { "?" } else { "" };
            writeln!(text, "{}{null} {}", field.name(), field.data_type()).unwrap();
        }
        insta::assert_snapshot!(table.name(), text);
    }
}

fn generate() -> String {
    let mut text =
        format!("\nVersion {SCHEMA_VERSION} of the schemas; `?` marks what may be null.\n");
    for table in Table::ALL {
        write!(text, "\n## {}\n\n{}\n\n", table.name(), table.about()).unwrap();
        text += HEAD;
        text += "| sweep | str | | the sweep; in files, the name of the directory |\n";
        columns(table).for_each(|column| describe(&mut text, column));
    }
    for view in VIEWS {
        write!(text, "\n## {}\n\n{}\n\n{HEAD}", view.name, view.about).unwrap();
        view.columns.iter().for_each(|column| describe(&mut text, *column));
    }
    let SqlFunction { name, arguments, about, columns } = IMPORTANCE;
    write!(text, "\n## {name}({arguments})\n\n{about}\n\n{HEAD}").unwrap();
    for column in columns {
        describe(&mut text, *column);
    }
    text
}

const HEAD: &str = "| column | type | unit | meaning |\n|---|---|---|---|\n";

fn describe(text: &mut String, column: Column) {
    let null = if column.nullable { "?" } else { "" };
    let (name, kind, unit) = (column.name, column.kind.name(), column.unit);
    let unit = if unit.is_empty() { String::new() } else { format!("{unit} ") };
    writeln!(text, "| {name} | {kind}{null} | {unit}| {} |", column.meaning).unwrap();
}
