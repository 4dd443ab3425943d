//! Names of types: a name says its noun out of context, and has one meaning in its crate.

#![expect(clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use syn::{Item, Visibility};

/// Words that say too little for a type: participles, adverbs and pronouns, and nouns that could be anything.
const BARE: &[&str] = &[
    "Aside", "Axes", "Bearer", "Before", "Book", "Crew", "Data", "Desk", "Done", "Door", "Emitted",
    "End", "Ended", "Ending", "Ends", "Facts", "Finish", "Found", "Gate", "Gauge", "Go", "Goods",
    "Homeward", "Info", "Item", "Kept", "Kind", "Known", "Lattice", "Look", "Moment", "News",
    "Onward", "Order", "Own", "Pace", "Parcel", "Parts", "Passed", "Place", "Places", "Reading",
    "Return", "Shelf", "Sight", "Sought", "Told", "Trouble", "Troubled", "Turn", "Wanted", "Weigh",
    "Wish",
];

/// Names that a crate may have several times, because each is the only one of its module: errors, and the
/// arguments of a command.
const REPEATED: &[&str] = &["Error", "Args"];

/// The mistakes in the names of the types in `files`, the sources of one crate, given as paths and texts.
pub(crate) fn mistakes(files: &[(PathBuf, String)]) -> Vec<String> {
    let mut mistakes = Vec::new();
    let mut public: BTreeMap<String, Vec<&Path>> = BTreeMap::new();
    for (path, text) in files {
        let file = syn::parse_file(text).expect("a source file");
        for (name, is_public) in types(&file.items) {
            if BARE.contains(&name.as_str()) {
                mistakes.push(format!("{}: `{name}` says too little", path.display()));
            }
            if is_public && !REPEATED.contains(&name.as_str()) {
                public.entry(name).or_default().push(path);
            }
        }
    }
    for (name, places) in public.iter().filter(|(_, places)| places.len() > 1) {
        let places: Vec<String> = places.iter().map(|path| path.display().to_string()).collect();
        mistakes.push(format!("`{name}` is defined more than once: {}", places.join(", ")));
    }
    mistakes
}

/// The types among `items` and in the modules there, tests aside, and whether others can name them.
fn types(items: &[Item]) -> Vec<(String, bool)> {
    let is_public = |visibility: &Visibility| !matches!(visibility, Visibility::Inherited);
    let mut found = Vec::new();
    for item in items {
        match item {
            Item::Struct(item) => found.push((item.ident.to_string(), is_public(&item.vis))),
            Item::Enum(item) => found.push((item.ident.to_string(), is_public(&item.vis))),
            Item::Trait(item) => found.push((item.ident.to_string(), is_public(&item.vis))),
            Item::Type(item) => found.push((item.ident.to_string(), is_public(&item.vis))),
            Item::Mod(item) if item.ident != "tests" => {
                found.extend(item.content.iter().flat_map(|(_, items)| types(items)));
            }
            _ => {}
        }
    }
    found
}

#[test]
fn bare_and_repeated_names_are_found() {
    let file = |name: &str, text: &str| (PathBuf::from(name), text.to_owned());
    let found = mistakes(&[
        file("a.rs", "pub struct Told; pub(crate) enum Lease {} mod tests { struct Found; }"),
        file("b.rs", "pub struct Lease; struct Error; pub mod inner { type Wish = u8; }"),
        file("c.rs", "pub enum Error {} struct Lease;"),
        file("d.rs", "pub enum Error {}"),
    ]);
    insta::assert_snapshot!(found.join("\n"), @r"
    a.rs: `Told` says too little
    b.rs: `Wish` says too little
    `Lease` is defined more than once: a.rs, b.rs
    ");
}
