//! The schema in `sweeps/schema.json` equals that of the code.

use std::fs;
use std::path::Path;

use rheo_core::schema;
use rheo_model::networks;

#[test]
#[expect(clippy::disallowed_methods, reason = "only a person sets the variable")]
fn the_committed_schema_equals_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sweeps/schema.json");
    let text =
        serde_json::to_string_pretty(&schema::document::of(&networks::schema())).unwrap() + "\n";
    if std::env::var("RHEO_BLESS").is_ok() {
        fs::write(&path, &text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "sweeps/schema.json is out of date: run `make bless` and commit the file"
    );
}

#[test]
fn every_property_of_the_schema_has_a_description() {
    fn check(path: &str, schema: &serde_json::Value) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            let is_nested = path.contains(".parameters.") || path.contains(".replicates.");
            assert!(is_nested || property["description"].is_string(), "{path}");
            check(&path, property);
        }
        for (name, definition) in schema["$defs"].as_object().into_iter().flatten() {
            check(name, definition);
        }
    }
    check("", &schema::document::of(&networks::schema()));
}
