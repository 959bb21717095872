//! The direction of dependencies: which module may use which, and no circle between files. ARCHITECTURE.md explains it.

#[path = "layers/graph.rs"]
mod graph;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use crate::support::Page;

/// The modules of the server, each with those that it may use beside the ones of the same name.
const MAY_USE: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("domain", &["base"]),
    ("store", &["domain", "base"]),
    ("assistant", &["domain", "base"]),
    ("service", &["store", "domain", "base"]),
    ("http", &["domain", "base"]),
    ("auth", &["http", "service", "domain", "base"]),
    ("wire", &["http", "domain", "base"]),
    ("api", &["auth", "wire", "http", "service", "domain", "base"]),
    ("realtime", &["auth", "wire", "http", "service", "assistant", "domain", "base"]),
    ("docs", &["api", "realtime", "auth", "wire", "http", "domain", "base"]),
    ("health", &["http", "store", "base"]),
    ("home", &["http"]),
    ("demo", &["api", "auth", "wire", "http", "service", "domain", "base"]),
    ("router", &["api", "realtime", "docs", "health", "home", "demo", "http", "service", "store", "base"]),
    ("config", &["http", "realtime", "assistant", "store", "domain"]),
    ("app", &["config", "router", "demo", "realtime", "assistant", "http", "service", "store", "domain", "base"]),
    ("cli", &["app", "config", "docs", "assistant", "http", "service", "store", "domain", "base"]),
    ("bench", &["api", "wire", "realtime", "http", "domain", "base"]),
    ("main", &["cli"]),
    // What the crate shows is handed on from here.
    ("lib", &[]),
];

/// Crates that only some modules may name.
const CRATES: &[(&str, &[&str])] = &[
    ("sea_orm", &["store"]),
    ("sea_orm_migration", &["store"]),
    ("sqlx", &["store"]),
    ("rusqlite", &["store"]),
    ("poem", &["http", "auth", "wire", "api", "realtime", "docs", "health", "home", "demo", "router", "bench"]),
    ("poem_openapi", &["http", "auth", "wire", "api", "realtime", "docs", "demo", "router"]),
    ("hyper", &["http"]),
    ("clap", &["cli"]),
];

/// The module at the crate's root that a file belongs to.
fn top(file: &str) -> &str {
    file.split('/').next().unwrap_or_default().trim_end_matches(".rs")
}

#[test]
fn each_module_of_the_server_uses_only_those_below_it() {
    let graph = graph::read(&Page::root().join("server/src"));
    let mut found = BTreeSet::new();
    for (file, used) in &graph {
        let module = top(file);
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
            found.insert(format!("{file}: the module {module} is in no line of MAY_USE"));
            continue;
        };
        for other in used {
            if top(other) != module && !allowed.contains(&top(other)) {
                found.insert(format!("{file} uses {other}"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn databases_http_and_the_command_line_stay_in_their_modules() {
    let root = Page::root().join("server/src");
    let mut found = BTreeSet::new();
    for file in graph::read(&root).keys() {
        let text = fs::read_to_string(root.join(file)).unwrap();
        for (name, modules) in CRATES {
            let names = text.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| {
                line.match_indices(&format!("{name}::")).any(|(at, _)| {
                    !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':')
                })
            });
            if names && !modules.contains(&top(file)) {
                found.insert(format!("{file} names {name}"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let mut found = Vec::new();
    for folder in ["server/src", "sdk/src", "bench/src"] {
        for circle in graph::circles(&graph::read(&Page::root().join(folder))) {
            found.push(format!("{folder}: {}", circle.into_iter().collect::<Vec<_>>().join(", ")));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn uses_and_circles_are_found_in_every_form() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c; mod d; #[cfg(test)] mod e;"),
        ("a/mod.rs", "mod inner; pub use inner::Thing; pub(crate) use self::inner::Other as Renamed;"),
        ("a/inner.rs", "use crate::{b::{self, Name}, base::X}; pub struct Thing; pub struct Other;"),
        ("b.rs", "fn f() { let _ = crate::c::g(); } #[cfg(test)] mod tests { use crate::d::D; }"),
        ("c.rs", "use super::a::Renamed; mod deep { use super::super::d::D; }"),
        ("d.rs", "pub struct D; #[cfg(test)] use crate::a::Thing;"),
        ("e.rs", "use crate::b::Name;"),
    ];
    let files: BTreeMap<String, String> = files.map(|(file, text)| (file.to_owned(), text.to_owned())).into();
    let graph = graph::graph(&files);
    assert!(!graph.contains_key("e.rs"), "a module of tests");
    let used = |file: &str| graph[file].iter().map(String::as_str).collect::<Vec<_>>();
    // `base` is no module of this crate.
    assert_eq!(used("a/inner.rs"), ["b.rs", "lib.rs"]);
    assert_eq!(used("b.rs"), ["c.rs"]);
    assert_eq!(used("c.rs"), ["a/inner.rs", "d.rs"]);
    assert!(used("a/mod.rs").is_empty() && used("d.rs").is_empty());
    let circle = ["a/inner.rs", "b.rs", "c.rs"].map(str::to_owned).into();
    assert_eq!(graph::circles(&graph), [circle].into());
}
