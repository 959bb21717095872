//! The pages for people who work on the code: what ARCHITECTURE.md, CONTRIBUTING.md and their neighbours name exists, so that
//! a file that is moved takes them along.

use std::{fs, path::Path};

use crate::support::{
    Page,
    page::{quoted, rows},
};

/// The pages at the repository's root that name files. Those below `docs/decisions` do, too.
const PAGES: [&str; 4] = ["ARCHITECTURE.md", "CONTRIBUTING.md", "RELEASING.md", "SECURITY.md"];
/// What files at the repository's root end in.
const ENDINGS: [&str; 5] = ["json", "lock", "md", "toml", "txt"];

/// Whether `word` is meant as a path from the repository's root. Paths of URLs begin with a slash, a server makes `./parlor.db`,
/// and a stage fills `.tools`.
fn is_path(word: &str) -> bool {
    let is_elsewhere = ["/", "./", ".tools"].iter().any(|start| word.starts_with(start)) || word.contains("://");
    let ending = Path::new(word).extension().and_then(|ending| ending.to_str());
    !is_elsewhere && (word.contains('/') || ending.is_some_and(|ending| ENDINGS.contains(&ending)))
}

#[test]
fn every_path_that_a_page_names_exists() {
    let decisions = Page::all().into_iter().filter(|page| page.name.starts_with("docs/decisions/"));
    let pages: Vec<Page> = PAGES.into_iter().map(Page::read).chain(decisions).collect();
    let (mut named, mut missing) = (0, Vec::new());
    for page in &pages {
        for path in page.quoted().into_iter().flat_map(str::split_whitespace).filter(|word| is_path(word)) {
            if !Page::root().join(path).exists() {
                missing.push(format!("{}: {path}", page.name));
            }
            named += 1;
        }
    }
    assert!(named > 100, "only {named} paths");
    assert!(missing.is_empty(), "these pages name what does not exist:\n{}", missing.join("\n"));
}

#[test]
fn every_box_of_the_diagram_is_a_file_or_folder_of_the_server_and_every_number_a_step() {
    let page = Page::read("ARCHITECTURE.md");
    let blocks = page.blocks();
    let [diagram] = &blocks[..] else { panic!("one diagram, not {}", blocks.len()) };
    assert_eq!(diagram.language, "mermaid");
    let lines = diagram.text.lines().map(str::trim).filter(|line| !line.starts_with("subgraph"));
    let boxes = lines.filter_map(|line| line.split_once("[\"")?.1.strip_suffix("\"]"));
    let sources = Page::root().join("server/src");
    let mut shown = 0;
    for name in boxes {
        assert!(sources.join(name).is_dir() || sources.join(format!("{name}.rs")).is_file(), "{name}");
        shown += 1;
    }
    assert!(shown > 10, "only {shown} boxes");

    let lists =
        [("r", "## The life of a request"), ("m", "## The life of a message"), ("a", "## The life of an answer")];
    let lists = lists.map(|(letter, title)| (letter, page.section(title)));
    let labels = diagram.text.split("|\"").skip(1).map(|rest| rest.split_once("\"|").expect("a label ends").0);
    for step in labels.flat_map(|label| label.split(", ")) {
        let found = lists.iter().find_map(|(letter, list)| Some((step.strip_prefix(letter)?, list)));
        let (number, list) = found.unwrap_or_else(|| panic!("{step} is in no list"));
        assert!(list.lines().any(|line| line.starts_with(&format!("{number}. "))), "there is no step {step}");
    }
}

#[test]
fn the_table_of_stages_has_each_stage_in_the_order_in_which_they_run() {
    let script = fs::read_to_string(Page::root().join("scripts/test.sh")).unwrap();
    let stages = script.lines().find_map(|line| line.strip_prefix("stages=(")?.strip_suffix(')')).unwrap();
    let section = Page::read("CONTRIBUTING.md").section("## The stages of the tests");
    let shown: Vec<&str> = rows(&section)[1..].iter().map(|row| quoted(row[0])[0]).collect();
    assert_eq!(shown, stages.split(' ').collect::<Vec<_>>());
}
