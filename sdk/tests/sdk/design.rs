//! The structure of the SDK's source: no two files depend on each other, and no two types share a name.
//!
//! Dependencies are read from the text: paths that begin with `crate::`, `self::` or `super::`, and `use` of a child
//! module. Comments, strings and test modules do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// File names relative to the source folder, with their texts.
type Files = BTreeMap<String, String>;
/// The files that each file depends on.
type Graph = BTreeMap<String, BTreeSet<String>>;

#[test]
fn no_file_depends_on_itself_through_others() {
    let files = sources();
    assert!(files.len() > 30, "only {} files were found", files.len());
    let graph = graph(&files);
    assert!(graph["retry_loop.rs"].contains("prepared_call.rs"), "{graph:?}");
    assert!(graph["realtime/connect.rs"].contains("realtime/sender.rs"), "{graph:?}");
    let circle = circle(graph);
    assert!(circle.is_empty(), "these files depend on each other:\n{}", describe(&circle));
}

#[test]
fn no_two_types_share_a_name() {
    let files = sources();
    let duplicates = duplicate_types(&files);
    assert!(duplicates.is_empty(), "{duplicates:?}");
}

fn sources() -> Files {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut files, mut folders) = (Files::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
            let is_test = name.split('/').any(|part| part == "tests" || part == "tests.rs");
            if path.is_dir() {
                folders.push(path);
            } else if !is_test {
                files.insert(name, without_tests(&code_of(&fs::read_to_string(path).unwrap())));
            }
        }
    }
    files
}

/// Blanks comments, strings and character literals.
fn code_of(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let (mut code, mut at) = (String::with_capacity(text.len()), 0);
    while at < chars.len() {
        let end = match chars[at..] {
            ['/', '/', ..] => end_of(&chars, at, |rest| rest[0] == '\n', 0),
            ['r', '"', ..] if !is_name_before(&chars, at) => end_of(&chars, at + 2, |rest| rest[0] == '"', 1),
            ['r', '#', '"', ..] => end_of(&chars, at + 3, |rest| rest.starts_with(&['"', '#']), 2),
            ['r', '#', '#', '"', ..] => end_of(&chars, at + 4, |rest| rest.starts_with(&['"', '#', '#']), 3),
            ['"', ..] => end_of_string(&chars, at + 1),
            ['\'', '\\', ..] => end_of(&chars, at + 3, |rest| rest[0] == '\'', 1),
            ['\'', _, '\'', ..] => at + 3,
            _ => {
                code.push(chars[at]);
                at += 1;
                continue;
            }
        };
        code.extend(chars[at..end].iter().map(|character| if *character == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    code
}

fn is_name_before(chars: &[char], at: usize) -> bool {
    at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_')
}

fn end_of(chars: &[char], from: usize, is_end: impl Fn(&[char]) -> bool, length: usize) -> usize {
    (from..chars.len()).find(|at| is_end(&chars[*at..])).map_or(chars.len(), |at| at + length)
}

fn end_of_string(chars: &[char], from: usize) -> usize {
    let mut at = from;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// Removes the modules that are declared under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    const ATTRIBUTE: &str = "#[cfg(test)]";
    let (mut kept, mut rest) = (String::new(), code);
    while let Some((before, after)) = rest.split_once(ATTRIBUTE) {
        kept.push_str(before);
        let declaration = after.trim_start().trim_start_matches("pub(crate) ");
        rest = if declaration.starts_with("mod ") { after_item(declaration) } else { after };
    }
    kept + rest
}

/// The text after an item that ends with a semicolon or a closing brace.
fn after_item(text: &str) -> &str {
    let mut depth = 0;
    for (at, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return &text[at + 1..],
            _ => continue,
        }
        if depth == 0 {
            return &text[at + 1..];
        }
    }
    ""
}

/// The module of a file: `realtime/mod.rs` is `realtime`, `lib.rs` the crate itself, which is empty.
fn module_of(file: &str) -> Vec<&str> {
    let mut parts: Vec<_> = file.trim_end_matches(".rs").split('/').collect();
    if matches!(parts.last(), Some(&"mod" | &"lib")) {
        parts.pop();
    }
    parts
}

fn graph(files: &Files) -> Graph {
    let modules: BTreeMap<_, _> = files.keys().map(|file| (module_of(file), file.as_str())).collect();
    let parents: BTreeSet<_> = files.keys().filter(|file| is_parent_only(&files[*file])).map(String::as_str).collect();
    let mut graph = Graph::new();
    for file in files.keys().filter(|file| !parents.contains(file.as_str())) {
        let mut uses = BTreeSet::new();
        for path in paths_in(file, &files[file], &modules) {
            uses.extend(resolve(&path, files, &modules, &parents, 0));
        }
        uses.remove(file);
        graph.insert(file.clone(), uses);
    }
    graph
}

/// Whether the file only declares modules and re-exports their items.
fn is_parent_only(code: &str) -> bool {
    let words: BTreeSet<_> = code.split(|character: char| !character.is_alphanumeric() && character != '_').collect();
    let declares = code.lines().any(|line| line.contains("mod ") && line.ends_with(';'));
    let defines = ["fn", "impl", "enum", "trait", "const", "static", "macro_rules", "type"];
    declares && defines.iter().all(|word| !words.contains(word))
}

/// The absolute paths that the file names.
fn paths_in(file: &str, code: &str, modules: &BTreeMap<Vec<&str>, &str>) -> Vec<Vec<String>> {
    let module: Vec<String> = module_of(file).into_iter().map(str::to_owned).collect();
    let mut paths = Vec::new();
    let starts = code.char_indices().filter(|(at, _)| !code[..*at].ends_with(|before: char| is_path(before)));
    for (at, _) in starts.filter(|(_, first)| first.is_alphabetic()) {
        let rest = &code[at..];
        let is_use = code[..at].ends_with("use ");
        let is_child = || {
            let name: String = rest.chars().take_while(|next| next.is_alphanumeric() || *next == '_').collect();
            let child: Vec<_> = module.iter().map(String::as_str).chain([name.as_str()]).collect();
            modules.contains_key(&child)
        };
        let is_relative = ["crate::", "self::", "super::"].iter().any(|prefix| rest.starts_with(prefix));
        if is_relative || is_use && is_child() {
            let (mut found, rest) = (Vec::new(), rest.replace(" as ", ","));
            expand(&mut rest.chars().filter(|next| !next.is_whitespace()).peekable(), &[], &mut found);
            paths.extend(found.into_iter().map(|path| absolute(&module, path)));
        }
    }
    paths
}

fn is_path(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | ':' | '$')
}

/// Expands `a::{b, c::D}` to `a::b` and `a::c::D`.
fn expand(text: &mut std::iter::Peekable<impl Iterator<Item = char>>, before: &[String], found: &mut Vec<Vec<String>>) {
    let mut path = before.to_vec();
    loop {
        let mut name = String::new();
        while let Some(next) = text.next_if(|next| next.is_alphanumeric() || *next == '_') {
            name.push(next);
        }
        if !name.is_empty() {
            path.push(name);
        } else if text.next_if_eq(&'{').is_some() {
            while !matches!(text.peek(), Some('}') | None) {
                expand(&mut *text, &path, found);
                if text.next_if_eq(&',').is_none() && text.peek() != Some(&'}') {
                    return;
                }
            }
            text.next();
            return;
        } else {
            text.next_if_eq(&'*');
        }
        if text.next_if_eq(&':').is_none() || text.next_if_eq(&':').is_none() {
            return found.push(path);
        }
    }
}

fn absolute(module: &[String], path: Vec<String>) -> Vec<String> {
    let mut base = module.to_vec();
    let mut rest = path.into_iter().peekable();
    if rest.next_if(|first| first == "crate").is_some() {
        base.clear();
    }
    rest.next_if(|first| first == "self");
    while rest.next_if(|first| first == "super").is_some() {
        base.pop();
    }
    base.extend(rest.filter(|part| part != "self"));
    base
}

/// The files that a path leads to. A path through a parent that only re-exports leads to the file behind it.
fn resolve(
    path: &[String],
    files: &Files,
    modules: &BTreeMap<Vec<&str>, &str>,
    parents: &BTreeSet<&str>,
    depth: usize,
) -> BTreeSet<String> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let known = (0..=path.len()).rev().find_map(|length| Some((length, *modules.get(&path[..length])?)));
    let Some((length, file)) = known else { return BTreeSet::new() };
    if !parents.contains(file) {
        return BTreeSet::from([file.to_owned()]);
    }
    // Re-exports of re-exports are followed too, but not for ever.
    let Some(item) = path.get(length).filter(|_| depth < 8) else { return BTreeSet::new() };
    let exports = paths_in(file, &files[file], modules);
    let exports = exports.iter().filter(|export| export.last().is_some_and(|name| name == item) && **export != path);
    exports.flat_map(|export| resolve(export, files, modules, parents, depth + 1)).collect()
}

/// Removes files that depend on no other and files that no other depends on, until only circles and the files between
/// them are left.
fn circle(mut graph: Graph) -> Graph {
    loop {
        let used: BTreeSet<String> = graph.values().flatten().cloned().collect();
        let before = graph.len();
        graph.retain(|file, uses| used.contains(file) && !uses.is_empty());
        let left: BTreeSet<String> = graph.keys().cloned().collect();
        for uses in graph.values_mut() {
            uses.retain(|file| left.contains(file));
        }
        if graph.len() == before {
            return graph;
        }
    }
}

fn describe(circle: &Graph) -> String {
    let lines: Vec<_> = circle.iter().map(|(file, uses)| format!("{file} uses {uses:?}")).collect();
    lines.join("\n")
}

/// The names that more than one struct, enum, trait or top-level type alias has.
fn duplicate_types(files: &Files) -> Vec<String> {
    let mut names = BTreeMap::<&str, Vec<&str>>::new();
    for (file, code) in files {
        for line in code.lines() {
            let is_top_level = !line.starts_with(' ');
            let line = line.trim_start().trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ");
            let mut words = line.trim_start_matches("pub ").split([' ', '<', '(', '{', ';', ':', '=']);
            let keyword = words.next().unwrap_or_default();
            let is_type = ["struct", "enum", "trait"].contains(&keyword) || keyword == "type" && is_top_level;
            if let Some(name) = words.next().filter(|name| is_type && !name.is_empty() && !name.starts_with('$')) {
                names.entry(name).or_default().push(file);
            }
        }
    }
    names.retain(|_, files| files.len() > 1);
    names.into_iter().map(|(name, files)| format!("{name} in {}", files.join(", "))).collect()
}

fn planted(files: &[(&str, &str)]) -> Files {
    files.iter().map(|(file, text)| ((*file).to_owned(), without_tests(&code_of(text)))).collect()
}

fn circle_of(files: &[(&str, &str)]) -> Vec<String> {
    circle(graph(&planted(files))).into_keys().collect()
}

#[test]
fn a_planted_circle_is_found_however_it_is_written() {
    for uses_b in [
        "use crate::b::B;",
        "use crate::b;",
        "use crate::b as other;",
        "use crate::{b as other, c};",
        "use crate::{c::C, b::{self, B}};",
        "use super::b::B;",
        "fn f() -> crate::b::B { crate::b::B }",
        "fn f(b: &[super::b::B]) {}",
        "use crate::B;",
        "#[cfg(test)]\nmod tests {\n    fn f() {}\n}\nuse crate::b::B;",
        "const QUOTE: char = '\"'; use crate::b::B; const END: char = '\"';",
    ] {
        let files = [
            ("lib.rs", "mod a;\nmod b;\nmod c;\npub use a::A;\npub use b::{B, B2};"),
            ("a.rs", uses_b),
            ("b.rs", "use crate::c::C; fn f() {}"),
            ("c.rs", "use crate::a::A; fn f() {}"),
        ];
        assert_eq!(circle_of(&files), ["a.rs", "b.rs", "c.rs"], "{uses_b}");
    }
}

#[test]
fn a_circle_between_a_folder_and_its_parent_is_found() {
    let parent = ("error.rs", "mod kind;\nuse self::kind::Kind;\nfn f() {}");
    assert_eq!(circle_of(&[parent, ("error/kind.rs", "use super::Error;\nfn f() {}")]), ["error.rs", "error/kind.rs"]);
    let parent = ("error.rs", "mod kind;\nuse kind::Kind;\nfn f() {}");
    assert_eq!(circle_of(&[parent, ("error/kind.rs", "use crate::error::E;")]), ["error.rs", "error/kind.rs"]);
    let through_re_export = [
        ("live/mod.rs", "mod one;\nmod two;\npub use one::One;\npub use two::Two;"),
        ("live/one.rs", "use crate::live::Two;\nfn f() {}"),
        ("live/two.rs", "use super::One;\nfn f() {}"),
    ];
    assert_eq!(circle_of(&through_re_export), ["live/one.rs", "live/two.rs"]);
}

#[test]
fn one_direction_is_no_circle() {
    for uses_b in [
        "// use crate::b::B;",
        "/// See [`crate::b::B`].\nfn f() {}",
        "const PATH: &str = \"crate::b::B\";",
        "const PATH: &str = r#\"\"crate::b::B\"#;",
        "#[cfg(test)]\nmod tests {\n    use crate::b::B;\n}",
        "#[cfg(test)]\nmod tests;\nfn f() {}",
        "use other::b::B;",
        "use a_crate::b::B;",
    ] {
        let files =
            [("lib.rs", "mod a;\nmod b;\npub use a::A;"), ("a.rs", uses_b), ("b.rs", "use crate::A; fn f() {}")];
        assert!(circle_of(&files).is_empty(), "{uses_b}");
    }
}

#[test]
fn a_planted_duplicate_is_found() {
    let files = planted(&[
        ("a.rs", "pub(crate) struct Settings {\n}\npub enum Kind<T> {}\ntype Item = u8;"),
        (
            "b.rs",
            "open_enum! {\n    pub enum Kind {\n    }\n}\nstruct Settings(u8);\nimpl I for X {\n    type Item = u8;\n}",
        ),
    ]);
    assert_eq!(duplicate_types(&files), ["Kind in a.rs, b.rs", "Settings in a.rs, b.rs"]);
}
