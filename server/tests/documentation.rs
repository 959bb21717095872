//! README.md and the other pages: what they point at is there, and what they show is tried.

use std::{collections::BTreeSet, fs, path::Path};

use crate::support::{
    Page,
    page::{quoted, rows},
};

/// The names of what is in `folder`, a path from the repository's root.
fn entries(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(Page::root().join(folder)).unwrap().map(|entry| entry.unwrap());
    // What a generator or an editor left there is no part of the repository.
    entries.map(|entry| entry.file_name().into_string().unwrap()).filter(|name| !name.starts_with('.')).collect()
}

fn text(name: &str) -> String {
    fs::read_to_string(Page::root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The anchors of a page's headings, as the usual forges make them.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let is_kept = |c: &char| c.is_alphanumeric() || ['-', '_', ' '].contains(c);
    headings
        .map(|heading| heading.to_lowercase().chars().filter(is_kept).collect::<String>().replace(' ', "-"))
        .collect()
}

#[test]
fn every_link_leads_to_something() {
    let (mut links, mut to_headings) = (0, 0);
    for page in Page::all() {
        let folder = Path::new(&page.name).parent().unwrap();
        for link in page.links().into_iter().filter(|link| !link.starts_with("http")) {
            let (file, heading) = link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
            let target = if file.is_empty() { Path::new(&page.name).to_owned() } else { folder.join(file) };
            assert!(Page::root().join(&target).exists(), "{}: {link}", page.name);
            if let Some(heading) = heading {
                let found = anchors(&text(target.to_str().unwrap()));
                assert!(found.contains(heading), "{}: {link} leads to no heading", page.name);
                to_headings += 1;
            }
            links += 1;
        }
    }
    assert!(links > 0 && to_headings > 0);
}

#[test]
fn a_table_of_contents_lists_the_headings_of_its_page() {
    let mut tables = 0;
    for page in Page::all() {
        let page_text = text(&page.name);
        let entries = page_text.lines().filter_map(|line| line.strip_prefix("- [")?.split_once("](#"));
        let listed: Vec<&str> = entries.map(|(title, _)| title).collect();
        if listed.is_empty() {
            continue;
        }
        let headings: Vec<&str> = page_text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(listed, headings, "{}", page.name);
        tables += 1;
    }
    assert!(tables > 0);
}

#[test]
fn everything_that_a_page_shows_in_a_block_is_tried() {
    let mut blocks = 0;
    for page in Page::all() {
        for block in page.blocks() {
            let language = block.language.split(',').next().unwrap();
            let (tried_by, by_these_words) = match (page.name.as_str(), language) {
                ("ARCHITECTURE.md", "mermaid") => ("server/tests/pages.rs", "every_box_of_the_diagram"),
                ("README.md", "rust") => ("examples/lib.rs", r#"include_str!("../README.md")"#),
                ("sdk/README.md", "rust") => ("sdk/src/lib.rs", r#"include_str!("../README.md")"#),
                ("README.md", "sh" | "toml") => ("scripts/stages/docs.sh", "blocks README.md "),
                ("docs/PROTOCOL.md", "text") => {
                    ("server/tests/protocol.rs", "the_session_is_as_the_document_describes_it")
                }
                ("docs/OPERATIONS.md", "sh") => ("server/tests/operations.rs", "page().blocks()"),
                ("examples/generate/README.md", "sh") => ("scripts/stages/clients.sh", "examples/generate/README.md"),
                (page, language) => panic!("nothing tries what {page} shows in {language:?}:\n{}", block.text),
            };
            assert!(text(tried_by).contains(by_these_words), "{tried_by} tries nothing of {}", page.name);
            blocks += 1;
        }
    }
    assert!(blocks > 0);
}

#[test]
fn every_stage_that_a_page_names_is_one() {
    let stages = entries("scripts/stages");
    let mut named = 0;
    for page in Page::all() {
        for word in page.quoted() {
            for stage in word.strip_prefix("scripts/test.sh ").into_iter().flat_map(|stages| stages.split(' ')) {
                assert!(stages.contains(&format!("{stage}.sh")), "{}: {word}", page.name);
                named += 1;
            }
        }
    }
    assert!(named > 0);
}

#[test]
fn the_readme_names_the_compiler_and_the_licence_of_the_packages() {
    let readme = Page::read("README.md");
    readme.says(&format!("Rust {}, a C compiler", env!("CARGO_PKG_RUST_VERSION")));
    let toolchain = format!("channel = \"{}.", env!("CARGO_PKG_RUST_VERSION"));
    assert!(text("rust-toolchain.toml").contains(&toolchain), "rust-toolchain.toml names another compiler");
    let licence = fs::read_to_string(Page::root().join("Cargo.toml")).unwrap();
    let licence = licence.lines().find_map(|line| line.strip_prefix("license = ")).unwrap().trim_matches('"');
    let either: Vec<&str> = licence.split(" OR ").collect();
    readme.says(&format!("## Licence {}, at your option.", either.join(" or ")));
    for one in either {
        let file = format!("LICENSE-{}", one.split('-').next().unwrap().to_uppercase());
        assert!(Page::root().join(&file).is_file(), "{file}");
    }
}

#[test]
fn every_example_is_in_the_readme_and_in_the_table_of_the_examples() {
    let readme = Page::read("README.md");
    let linked: BTreeSet<&str> = readme.links().into_iter().filter_map(|link| link.strip_prefix("examples/")).collect();
    let (table, manifest) = (text("examples/lib.rs"), text("examples/Cargo.toml"));
    for example in entries("examples") {
        match example.as_str() {
            "lib.rs" | "Cargo.toml" => {}
            "generate" => assert!(linked.contains("generate/README.md")),
            _ => assert!(linked.contains(example.as_str()), "README.md has no link to {example}"),
        }
        if let Some(name) = example.strip_suffix(".rs").filter(|name| *name != "lib") {
            assert!(table.contains(&format!("//! | `{name}` |")), "examples/lib.rs has no {name}");
            assert!(manifest.contains(&format!("name = \"{name}\"")), "examples/Cargo.toml has no {name}");
        }
    }
}

#[test]
fn every_generated_client_is_in_the_table_with_the_generator_that_makes_it() {
    let page = text("examples/generate/README.md");
    let folders = entries("examples/generate").into_iter().filter(|name| !name.contains('.'));
    let mut shown = BTreeSet::new();
    for row in &rows(&page)[1..] {
        let (folder, scenario) = row[0].trim_matches(['[', ')']).split_once("](").unwrap();
        assert!(scenario.starts_with(&format!("{folder}/")), "{scenario}");
        let command = text(&format!("examples/generate/{folder}/generate.sh"));
        let program = row[2].split(',').next().unwrap();
        assert!(command.lines().any(|line| line.starts_with(program)), "{folder} is not made by {program}");
        for generator in quoted(row[2]) {
            assert!(command.contains(&format!("--generator-name {generator} ")), "{folder}: {generator}");
        }
        shown.insert(folder.to_owned());
    }
    assert_eq!(shown, folders.collect());
}

#[test]
fn an_example_looks_for_the_server_where_the_pages_say() {
    let mut programs = 0;
    let mut folders = vec!["examples".to_owned()];
    while let Some(folder) = folders.pop() {
        for name in entries(&folder) {
            let path = format!("{folder}/{name}");
            if Page::root().join(&path).is_dir() {
                // A page is served by the server that it looks for, and has no key.
                if !["client", "node_modules", "target", "web"].contains(&name.as_str()) {
                    folders.push(path);
                }
                continue;
            }
            let is_program =
                [".rs", ".mjs", ".py", ".ts", ".go", ".rb", ".php"].iter().any(|ending| name.ends_with(ending))
                    || name == "create_chat.sh";
            if is_program {
                let program = text(&path);
                for word in ["http://localhost:8000", "PARLOR_URL", "PARLOR_API_KEY"] {
                    assert!(program.contains(word), "{path} has no {word}");
                }
                programs += 1;
            }
        }
    }
    assert!(programs > 0);
}
