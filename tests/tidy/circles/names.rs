//! Resolution of a path from the module that holds it, through re-exports, to the module that defines the item.

use super::tree::{Crate, ModuleId};

/// The end of a path that stays within the crate.
#[derive(Clone, Copy)]
enum Target {
    Module(ModuleId),
    ItemOf(ModuleId),
}

/// Names that are re-exported more often than this are in a ring of re-exports.
const DEEPEST: usize = 32;

impl Crate {
    /// The module that defines what `path` names in `from`; `None` for other crates' items and for a module itself.
    pub(crate) fn definer(&self, from: ModuleId, path: &[String]) -> Option<ModuleId> {
        match self.resolve(from, path, 0)? {
            Target::ItemOf(module) => Some(module),
            Target::Module(_) => None,
        }
    }

    fn resolve(&self, from: ModuleId, path: &[String], depth: usize) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.walk(0, rest, depth),
            "self" => self.walk(from, rest, depth),
            "super" => self.resolve_above(self.modules[from].parent?, rest, depth),
            _ => match self.lookup(from, first, path.len() == 1, depth)? {
                Target::Module(module) => self.walk(module, rest, depth),
                item @ Target::ItemOf(_) => Some(item),
            },
        }
    }

    fn resolve_above(&self, parent: ModuleId, rest: &[String], depth: usize) -> Option<Target> {
        if rest.first().is_some_and(|name| name == "super") {
            return self.resolve_above(self.modules[parent].parent?, &rest[1..], depth);
        }
        self.walk(parent, rest, depth)
    }

    /// Follows `path` from inside `module`. A name that nobody defines is the module's own.
    fn walk(&self, module: ModuleId, path: &[String], depth: usize) -> Option<Target> {
        let Some((first, rest)) = path.split_first() else { return Some(Target::Module(module)) };
        let imported = self.modules[module].contents.imports.get(first);
        match self.lookup(module, first, rest.is_empty(), depth) {
            Some(Target::Module(next)) => self.walk(next, rest, depth),
            None if imported.is_some() => None,
            found => Some(found.unwrap_or(Target::ItemOf(module))),
        }
    }

    /// The meaning of `name` in `module`. Where an item and a child share a name, the last name of a path is the item.
    fn lookup(&self, module: ModuleId, name: &str, last: bool, depth: usize) -> Option<Target> {
        if depth > DEEPEST {
            return None;
        }
        let here = &self.modules[module];
        let child = here.children.get(name).map(|&child| Target::Module(child));
        if child.is_some() && !last {
            return child;
        }
        if here.contents.items.contains(name) {
            return Some(Target::ItemOf(module));
        }
        if let Some(path) = here.contents.imports.get(name)
            && path.as_slice() != [name]
        {
            return self.resolve(module, path, depth + 1);
        }
        child.or_else(|| {
            here.contents.globs.iter().find_map(|glob| {
                let Target::Module(source) = self.resolve(module, glob, depth + 1)? else {
                    return None;
                };
                self.lookup(source, name, last, depth + 1)
            })
        })
    }
}
