//! `rheo schema`: the JSON Schema of sweep files, for editors.

use super::failure::Failure;
use super::format;

pub(super) fn run() -> Result<(), Failure> {
    Ok(format::print_json(&rheo_core::schema::document::of(&rheo_model::networks::schema()))?)
}
