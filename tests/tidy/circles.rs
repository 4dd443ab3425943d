//! Circles between the modules of a crate: files that name each other's items, directly or through others.
//!
//! A module is a file; a `mod` with a body belongs to the file that it is written in. Module A *names* module B
//! where A's code, tests aside, holds a path that leads to an item that B defines: in a `use`, in a signature, in a
//! function body or among the arguments of a macro. The path may begin with `crate`, `self`, `super`, a child's name
//! or a name that a `use` brought in. What a module only re-exports counts for the module that defines it, as far as
//! that can be followed: an item that no file defines by name (a macro made it) counts for the module it was asked of.
//!
//! Aside: a parent and its own descendants, in both directions (a parent declares and re-exports its children, and
//! they share its private items); a `use` of a module itself, because what is named through it counts; a bare name,
//! because the `use` that brought it in counts; methods, derives, attributes and visibilities; items under
//! `#[cfg(test)]`.

mod names;
mod source;
mod tests;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tree::Crate;

/// First line of a file that names an item of another file.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Naming {
    line: usize,
    path: String,
}

/// For each file, the files that it names.
type Graph = BTreeMap<PathBuf, BTreeMap<PathBuf, Naming>>;

/// The circles of the crate whose root file is `root`, each as text that says who names whom, where.
/// `read` gives the text of a file, or `None` where there is no such file.
pub(crate) fn circles(root: &Path, read: &dyn Fn(&Path) -> Option<String>) -> Vec<String> {
    let graph = graph(&Crate::read(root, read));
    groups(&graph).iter().map(|group| report(&graph, group)).collect()
}

fn graph(krate: &Crate) -> Graph {
    let mut graph = Graph::new();
    for (module, reference) in krate.references() {
        let Some(target) = krate.definer(module, &reference.path) else { continue };
        if krate.related(module, target) {
            continue;
        }
        let named = graph.entry(krate.file(module)).or_default().entry(krate.file(target));
        let naming = Naming { line: reference.line, path: reference.path.join("::") };
        named.and_modify(|first| *first = naming.clone().min(first.clone())).or_insert(naming);
    }
    graph
}

/// The files that `from` names, directly or through others.
fn reach<'a>(graph: &'a Graph, from: &Path) -> BTreeSet<&'a Path> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&Path> = vec![from];
    while let Some(file) = next.pop() {
        for named in graph.get(file).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(named.as_path()) {
                next.push(named);
            }
        }
    }
    reached
}

/// The largest sets of files that all reach each other, those of one file aside.
fn groups(graph: &Graph) -> BTreeSet<BTreeSet<&Path>> {
    let reached: BTreeMap<&Path, BTreeSet<&Path>> =
        graph.keys().map(|file| (file.as_path(), reach(graph, file))).collect();
    let mutual = |a: &Path, b: &Path| reached.get(a).is_some_and(|files| files.contains(b));
    let of = |file: &Path| {
        reached
            .keys()
            .copied()
            .filter(|&other| mutual(file, other) && mutual(other, file))
            .collect()
    };
    reached
        .keys()
        .map(|file| of(file))
        .filter(|group: &BTreeSet<&Path>| !group.is_empty())
        .collect()
}

fn report(graph: &Graph, group: &BTreeSet<&Path>) -> String {
    let mut text = String::from(
        "modules name each other in a circle; move what they share into a module of its own below them:\n",
    );
    for (from, named) in graph.iter().filter(|(from, _)| group.contains(from.as_path())) {
        for (to, Naming { line, path }) in
            named.iter().filter(|(to, _)| group.contains(to.as_path()))
        {
            text += &format!("  {}:{line} names `{path}` of {}\n", from.display(), to.display());
        }
    }
    text
}
