//! One source file as the finder sees it: the names it defines, the names it brings in, the paths it holds.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, Macro, UseTree, Visibility};

/// A path as it is written, without generics.
pub(crate) type Segments = Vec<String>;

/// A path in the code of a module.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    pub(crate) path: Segments,
    pub(crate) line: usize,
}

/// The contents of one module, tests aside.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Items that are defined here, modules aside.
    pub(crate) items: BTreeSet<String>,
    /// Names that a `use` brings in, each with the path that it stands for.
    pub(crate) imports: BTreeMap<String, Segments>,
    /// Modules whose names a `use` brings in all at once.
    pub(crate) globs: Vec<Segments>,
    pub(crate) references: Vec<Reference>,
    /// Modules that are files of their own.
    pub(crate) declared: Vec<String>,
    /// Modules that are written out in this file.
    pub(crate) inline: Vec<(String, Contents)>,
}

impl Contents {
    /// The contents of a module with these items.
    pub(crate) fn of(items: &[Item]) -> Self {
        let mut contents = Self::default();
        for item in items {
            contents.items.extend(defined(item));
            contents.visit_item(item);
        }
        contents
    }

    fn import(&mut self, prefix: &[String], tree: &UseTree) {
        let with = |last: String| [prefix, &[last]].concat();
        match tree {
            UseTree::Path(part) => self.import(&with(part.ident.to_string()), &part.tree),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(prefix, tree)),
            UseTree::Glob(glob) => {
                self.globs.push(prefix.to_vec());
                self.refer(with("*".to_owned()), glob.star_token.spans[0].start().line);
            }
            UseTree::Name(name) if name.ident == "self" => {
                self.imports.insert(prefix.last().cloned().unwrap_or_default(), prefix.to_vec());
                self.refer(prefix.to_vec(), name.ident.span().start().line);
            }
            UseTree::Name(name) => {
                self.imports.insert(name.ident.to_string(), with(name.ident.to_string()));
                self.refer(with(name.ident.to_string()), name.ident.span().start().line);
            }
            UseTree::Rename(name) => {
                self.imports.insert(name.rename.to_string(), with(name.ident.to_string()));
                self.refer(with(name.ident.to_string()), name.ident.span().start().line);
            }
        }
    }

    fn refer(&mut self, path: Segments, line: usize) {
        self.references.push(Reference { path, line });
    }

    /// Every path among the arguments of a macro: names joined by `::`.
    fn scan(&mut self, tokens: TokenStream) {
        let mut path = Segments::new();
        let mut line = 0;
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(mark) if mark.as_char() == ':' && !path.is_empty() => colons += 1,
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.finish(&mut path, line);
                        line = name.span().start().line;
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                other => {
                    self.finish(&mut path, line);
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.scan(group.stream());
                    }
                }
            }
        }
        self.finish(&mut path, line);
    }

    fn finish(&mut self, path: &mut Segments, line: usize) {
        let path = std::mem::take(path);
        if path.len() > 1 {
            self.refer(path, line);
        }
    }
}

impl<'ast> Visit<'ast> for Contents {
    fn visit_item(&mut self, item: &'ast Item) {
        if !attributes(item).iter().any(for_tests) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        let name = module.ident.to_string();
        match &module.content {
            Some((_, items)) => self.inline.push((name, Self::of(items))),
            None => self.declared.push(name),
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if item.leading_colon.is_none() {
            self.import(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Segments = path.segments.iter().map(|part| part.ident.to_string()).collect();
        if path.leading_colon.is_none() && names.len() > 1 {
            self.refer(names, path.segments[0].ident.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        self.visit_path(&called.path);
        self.scan(called.tokens.clone());
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}

/// The name of an item that a path can lead to.
fn defined(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        _ => return None,
    };
    Some(name.to_string())
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether the attribute is `#[cfg(test)]`.
fn for_tests(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute.parse_args::<syn::Ident>().is_ok_and(|word| word == "test")
}
