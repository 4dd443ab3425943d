//! The modules of a crate as a tree, read from its root file on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::source::{Contents, Reference};

/// A module's place in [`Crate::modules`].
pub(crate) type ModuleId = usize;

/// One module: a file, or a part of one.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) file: PathBuf,
    pub(crate) parent: Option<ModuleId>,
    pub(crate) children: BTreeMap<String, ModuleId>,
    pub(crate) contents: Contents,
}

/// All modules of a crate, tests aside; the first is its root.
#[derive(Debug, Default)]
pub(crate) struct Crate {
    pub(crate) modules: Vec<Module>,
}

/// Reads the text of a file; `None` if there is no such file.
type Read<'a> = &'a dyn Fn(&Path) -> Option<String>;

/// Position of a module in the tree and on disk.
struct Place {
    parent: Option<ModuleId>,
    file: PathBuf,
    /// The folder of its children's files.
    folder: PathBuf,
}

impl Crate {
    /// Reads the crate whose root file is `root`, with every file that it declares.
    pub(crate) fn read(root: &Path, read: Read<'_>) -> Self {
        let mut krate = Self::default();
        let text = read(root).unwrap_or_else(|| panic!("no such file: {}", root.display()));
        let folder = root.parent().unwrap_or(Path::new("")).to_owned();
        let place = Place { parent: None, file: root.to_owned(), folder };
        krate.add(&place, contents(root, &text), read);
        krate
    }

    /// Adds a module and all below it.
    fn add(&mut self, place: &Place, mut contents: Contents, read: Read<'_>) -> ModuleId {
        let Place { parent, file, folder } = place;
        let declared = std::mem::take(&mut contents.declared);
        let inline = std::mem::take(&mut contents.inline);
        let id = self.modules.len();
        let children = BTreeMap::new();
        self.modules.push(Module { file: file.clone(), parent: *parent, children, contents });
        for (name, contents) in inline {
            let below = Place { parent: Some(id), file: file.clone(), folder: folder.join(&name) };
            let child = self.add(&below, contents, read);
            self.modules[id].children.insert(name, child);
        }
        for name in declared {
            let folder = folder.join(&name);
            let found = [folder.with_extension("rs"), folder.join("mod.rs")];
            let found = found.into_iter().find_map(|file| Some((read(&file)?, file)));
            // A file that the build writes is none of ours.
            let Some((text, file)) = found else { continue };
            let contents = self::contents(&file, &text);
            let child = self.add(&Place { parent: Some(id), file, folder }, contents, read);
            self.modules[id].children.insert(name, child);
        }
        id
    }

    pub(crate) fn file(&self, module: ModuleId) -> PathBuf {
        self.modules[module].file.clone()
    }

    /// Every path of every module.
    pub(crate) fn references(&self) -> impl Iterator<Item = (ModuleId, &Reference)> {
        let modules = self.modules.iter().enumerate();
        modules.flat_map(|(id, module)| module.contents.references.iter().map(move |one| (id, one)))
    }

    /// Whether one of the two holds the other, or both are the same file.
    pub(crate) fn related(&self, one: ModuleId, other: ModuleId) -> bool {
        let (one, other) = (self.outermost(one), self.outermost(other));
        self.above(one).any(|id| id == other) || self.above(other).any(|id| id == one)
    }

    /// The module that is the whole file which this one is written in.
    fn outermost(&self, module: ModuleId) -> ModuleId {
        let same = |id: &ModuleId| self.modules[*id].file == self.modules[module].file;
        self.above(module).take_while(same).last().unwrap_or(module)
    }

    /// The module itself, its parent, and so on to the root.
    fn above(&self, module: ModuleId) -> impl Iterator<Item = ModuleId> {
        std::iter::successors(Some(module), |id| self.modules[*id].parent)
    }
}

fn contents(file: &Path, text: &str) -> Contents {
    let parsed = syn::parse_file(text);
    let parsed = parsed.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    Contents::of(&parsed.items)
}
