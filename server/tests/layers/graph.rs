//! Which file of a crate uses which: read from its `use` declarations and from paths in its code. Tests are left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use syn::{Attribute, Item, ItemMod, ItemUse, UseTree, Visibility, visit::Visit};

/// A module's path from the crate's root, without the crate's name; empty for the root.
type Module = Vec<String>;

/// The most re-exports that lead from one name to another. More of them are a circle, which the compiler refuses.
const MAX_HOPS: usize = 8;

/// The files of a crate, by their paths from its source folder, and the files that each uses.
pub(super) type Graph = BTreeMap<String, BTreeSet<String>>;

/// What is read from one file.
struct Source {
    file: String,
    module: Module,
    /// Paths from the crate's root that the file uses.
    uses: BTreeSet<Vec<String>>,
    /// Names that the module hands on, with the paths that they stand for.
    exports: BTreeMap<String, Vec<String>>,
    /// Modules that are declared for tests alone.
    test_modules: Vec<Module>,
}

/// Reads every file below `folder`.
pub(super) fn read(folder: &Path) -> Graph {
    let mut files = BTreeMap::new();
    collect(folder, folder, &mut files);
    graph(&files)
}

/// The graph of `files`: their paths from the source folder, and their texts.
pub(super) fn graph(files: &BTreeMap<String, String>) -> Graph {
    let sources: Vec<Source> = files.iter().map(|(file, text)| Source::read(file, text)).collect();
    let of_tests: BTreeSet<Module> = sources.iter().flat_map(|source| source.test_modules.clone()).collect();
    let is_tested = |source: &&Source| !of_tests.iter().any(|tests| source.module.starts_with(tests));
    let sources: Vec<&Source> = sources.iter().filter(is_tested).collect();
    let modules: BTreeMap<&[String], &Source> =
        sources.iter().map(|source| (source.module.as_slice(), *source)).collect();
    let used = |source: &Source| -> BTreeSet<String> {
        let uses = source.uses.iter().filter_map(|path| defining(path, &modules, MAX_HOPS));
        uses.filter(|file| *file != source.file).collect()
    };
    sources.iter().map(|source| (source.file.clone(), used(source))).collect()
}

/// The circles of a graph: sets of files each of which reaches all others of its set.
pub(super) fn circles(graph: &Graph) -> BTreeSet<BTreeSet<String>> {
    let reachable: BTreeMap<&String, BTreeSet<&String>> =
        graph.keys().map(|file| (file, reached(graph, file))).collect();
    let circle = |file: &String| {
        let others = reachable[file].iter().filter(|other| reachable[*other].contains(file));
        others.map(|other| (*other).clone()).collect::<BTreeSet<String>>()
    };
    graph.keys().map(circle).filter(|circle| !circle.is_empty()).collect()
}

/// All files that `file` uses, directly or not.
fn reached<'a>(graph: &'a Graph, file: &String) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&String> = graph[file].iter().collect();
    while let Some(next) = open.pop() {
        if reached.insert(next) {
            open.extend(&graph[next]);
        }
    }
    reached
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
}

/// The file that defines what `path` names; `None` when it names nothing of the crate.
fn defining(path: &[String], modules: &BTreeMap<&[String], &Source>, hops: usize) -> Option<String> {
    let depth = (0..=path.len()).rev().find(|depth| modules.contains_key(&path[..*depth]))?;
    let source = modules[&path[..depth]];
    match path.get(depth).and_then(|name| source.exports.get(name)) {
        Some(target) if hops > 0 => {
            let target = target.iter().chain(&path[depth + 1..]).cloned().collect::<Vec<_>>();
            defining(&target, modules, hops - 1)
        }
        _ => Some(source.file.clone()),
    }
}

impl Source {
    fn read(file: &str, text: &str) -> Self {
        let mut module: Module = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if module.last().is_some_and(|last| last == "mod") {
            module.pop();
        }
        if module.len() == 1 && (module[0] == "lib" || module[0] == "main") {
            module.clear();
        }
        let mut reader = Reader {
            inner: module.clone(),
            source: Self {
                file: file.to_owned(),
                module,
                uses: BTreeSet::new(),
                exports: BTreeMap::new(),
                test_modules: Vec::new(),
            },
        };
        let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}"));
        reader.visit_file(&parsed);
        reader.source
    }
}

struct Reader {
    source: Source,
    /// The module of the item that is read: the file's or one inside of it.
    inner: Module,
}

impl Reader {
    /// A path from the crate's root; `None` for one that begins elsewhere.
    fn resolve(&self, segments: &[String]) -> Option<Vec<String>> {
        let mut base = self.inner.clone();
        let mut rest = segments;
        match rest.first()?.as_str() {
            "crate" => base.clear(),
            "self" => {}
            "super" => {
                base.pop();
            }
            _ => return None,
        }
        rest = &rest[1..];
        while rest.first().is_some_and(|segment| segment == "super") {
            base.pop();
            rest = &rest[1..];
        }
        Some(base.into_iter().chain(rest.iter().cloned()).collect())
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Path>().is_ok_and(|it| it.is_ident("test"))
    })
}

/// The paths of a `use` tree, each with the name that it gives.
fn leaves(tree: &UseTree, prefix: &mut Vec<String>, found: &mut Vec<(Vec<String>, String)>) {
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            leaves(&path.tree, prefix, found);
            prefix.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| leaves(tree, prefix, found)),
        UseTree::Glob(_) => found.push((prefix.clone(), "*".to_owned())),
        UseTree::Name(name) if name.ident == "self" => {
            found.push((prefix.clone(), prefix.last().cloned().unwrap_or_default()));
        }
        UseTree::Name(name) => {
            let name = name.ident.to_string();
            found.push((prefix.iter().cloned().chain([name.clone()]).collect(), name));
        }
        UseTree::Rename(rename) => {
            let path = prefix.iter().cloned().chain([rename.ident.to_string()]).collect();
            found.push((path, rename.rename.to_string()));
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Fn(it) => &it.attrs,
            Item::Impl(it) => &it.attrs,
            Item::Mod(it) => &it.attrs,
            Item::Use(it) => &it.attrs,
            Item::Struct(it) => &it.attrs,
            Item::Const(it) => &it.attrs,
            _ => return syn::visit::visit_item(self, item),
        };
        match item {
            _ if !is_test(attributes) => syn::visit::visit_item(self, item),
            Item::Mod(module) => {
                let path = self.inner.iter().cloned().chain([module.ident.to_string()]).collect();
                self.source.test_modules.push(path);
            }
            _ => {}
        }
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if module.content.is_some() {
            self.inner.push(module.ident.to_string());
            syn::visit::visit_item_mod(self, module);
            self.inner.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let mut found = Vec::new();
        leaves(&item.tree, &mut Vec::new(), &mut found);
        let hands_on = !matches!(item.vis, Visibility::Inherited);
        for (path, name) in found {
            // A path without a root begins at a module that is declared beside the declaration, or at another crate.
            let from_here = [vec!["self".to_owned()], path.clone()].concat();
            let path = self.resolve(&path).or_else(|| self.resolve(&from_here).filter(|_| hands_on));
            let Some(path) = path else { continue };
            if hands_on && self.inner == self.source.module {
                self.source.exports.insert(name, path);
            } else if !hands_on {
                self.source.uses.insert(path);
            }
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if segments.len() > 1
            && let Some(path) = self.resolve(&segments)
        {
            self.source.uses.insert(path);
        }
        syn::visit::visit_path(self, path);
    }
}
