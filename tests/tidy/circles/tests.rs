//! The finder itself, on small made-up trees.

use std::path::Path;

use super::circles;

/// The circles of a crate of these files, `lib.rs` being its root.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    let read = |path: &Path| {
        let text = files.iter().find(|(name, _)| Path::new(name) == path)?.1;
        Some(text.to_owned())
    };
    circles(Path::new("lib.rs"), &read)
}

#[test]
fn two_modules_that_use_each_other_are_a_circle_with_files_and_lines() {
    let circles = found(&[
        ("lib.rs", "mod a;\nmod b;"),
        ("a.rs", "\nuse crate::b::Bee;\npub struct Ant(Bee);"),
        ("b.rs", "pub struct Bee;\npub fn of(ant: &super::a::Ant) {}"),
    ]);
    let [circle] = circles.as_slice() else { panic!("one circle: {circles:?}") };
    assert!(circle.contains("  a.rs:2 names `crate::b::Bee` of b.rs\n"), "{circle}");
    assert!(circle.contains("  b.rs:2 names `super::a::Ant` of a.rs\n"), "{circle}");
}

#[test]
fn a_circle_of_three_is_found_and_who_only_leads_to_it_is_not_named() {
    let circles = found(&[
        ("lib.rs", "mod a; mod b; mod c; mod d;"),
        ("a.rs", "use super::{b::{B, other}, self}; pub struct A;"),
        ("b.rs", "pub struct B; pub fn other() { let c = crate::c::C::new(); }"),
        ("c.rs", "pub struct C; pub fn c() { println!(\"{}\", crate::a::A); }"),
        ("d.rs", "use crate::a::A;"),
    ]);
    assert_eq!(circles.len(), 1, "{circles:?}");
    assert_eq!(circles[0].matches(" names ").count(), 3, "{circles:?}");
    assert!(!circles[0].contains("d.rs"), "{circles:?}");
}

#[test]
fn two_circles_are_two() {
    let circles = found(&[
        ("lib.rs", "mod a; mod b; mod c; mod d;"),
        ("a.rs", "use crate::{b::B, c::C}; pub struct A;"),
        ("b.rs", "use crate::a::A; pub struct B;"),
        ("c.rs", "use crate::d::D; pub struct C;"),
        ("d.rs", "use crate::c::C; pub struct D;"),
    ]);
    assert_eq!(circles.len(), 2, "{circles:?}");
}

#[test]
fn a_diamond_is_no_circle() {
    let circles = found(&[
        ("lib.rs", "mod a; mod b; mod c; mod d;"),
        ("a.rs", "use crate::{b::B, c::C};"),
        ("b.rs", "use crate::d::D; pub struct B(D);"),
        ("c.rs", "use crate::d::D; pub struct C(D);"),
        ("d.rs", "pub struct D;"),
    ]);
    assert!(circles.is_empty(), "{circles:?}");
}

#[test]
fn parents_and_children_may_name_each_other() {
    let circles = found(&[
        ("lib.rs", "mod a; pub use a::{A, child::Child}; pub struct Root;"),
        ("a.rs", "pub mod child; use self::child::Child; pub struct A(Child);"),
        ("a/child.rs", "use super::A; use crate::Root; pub struct Child;"),
    ]);
    assert!(circles.is_empty(), "{circles:?}");
}

#[test]
fn children_of_one_parent_that_use_each_other_are_a_circle() {
    let circles = found(&[
        ("lib.rs", "mod a;"),
        ("a.rs", "mod b; mod c;"),
        ("a/b.rs", "use super::c::C; pub struct B;"),
        ("a/c.rs", "use super::b; pub struct C(b::B);"),
    ]);
    assert_eq!(circles.len(), 1, "{circles:?}");
}

#[test]
fn what_a_module_re_exports_counts_for_the_module_that_defines_it() {
    let files = |b| {
        [
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "mod deep; pub use deep::Deep; use crate::c::C;"),
            ("a/deep.rs", "use crate::b::B; pub struct Deep;"),
            ("b.rs", b),
            ("c.rs", "use crate::a::Deep as Renamed; pub struct C;"),
        ]
    };
    // `c` names `deep`, not `a`, which names `c`.
    assert!(found(&files("pub struct B;")).is_empty());
    let circles = found(&files("use crate::a::Deep; pub struct B;"));
    assert_eq!(circles.len(), 1, "{circles:?}");
    assert!(circles[0].contains("b.rs:1 names `crate::a::Deep` of a/deep.rs"), "{circles:?}");
}

#[test]
fn a_name_that_a_glob_re_exports_is_followed() {
    let circles = found(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "mod deep; pub use deep::*; use crate::c::C;"),
        ("a/deep.rs", "use crate::b::B; pub struct Deep;"),
        ("b.rs", "use crate::a::Deep; pub struct B;"),
        ("c.rs", "use crate::a::Deep; pub struct C;"),
    ]);
    assert_eq!(circles.len(), 1, "{circles:?}");
    assert_eq!(circles[0].matches(" names ").count(), 2, "{circles:?}");
}

#[test]
fn a_name_that_no_file_defines_counts_for_the_module_it_is_asked_of() {
    let circles = found(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "make!(Made); use crate::b::B;"),
        ("b.rs", "pub struct B(crate::a::Made);"),
    ]);
    assert_eq!(circles.len(), 1, "{circles:?}");
}

#[test]
fn tests_other_crates_and_modules_written_in_a_file_make_no_circle() {
    let circles = found(&[
        ("lib.rs", "mod a; mod b;"),
        (
            "a.rs",
            "pub struct A; mod inner { use super::A; pub struct In; } use inner::In; use crate::b::B;",
        ),
        ("b.rs", "use a::A; use ::a::X; pub struct B; #[cfg(test)] mod tests { use crate::a::A; }"),
    ]);
    assert!(circles.is_empty(), "{circles:?}");
}
