//! The pages that people read, as a test reads them.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// README.md, a page of docs/ or the README of an example.
pub(crate) struct Page {
    /// Its path from the repository's root.
    pub(crate) name: String,
    text: String,
}

/// What stands between two fences.
pub(crate) struct Block {
    /// What the opening fence says, as in `rust,no_run`.
    pub(crate) language: String,
    pub(crate) text: String,
}

impl Page {
    /// The repository's root.
    pub(crate) fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
    }

    /// The page at `name`, from the repository's root.
    pub(crate) fn read(name: &str) -> Self {
        let text = fs::read_to_string(Self::root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { name: name.to_owned(), text }
    }

    /// Every page of the repository; not what was generated or installed.
    pub(crate) fn all() -> Vec<Self> {
        let mut names = Vec::new();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(Self::root().join(&folder)).unwrap() {
                let entry = entry.unwrap();
                let path = folder.join(entry.file_name());
                let name = entry.file_name().into_string().unwrap();
                if entry.file_type().unwrap().is_dir() {
                    if !name.starts_with('.') && !["target", "client", "node_modules"].contains(&name.as_str()) {
                        folders.push(path);
                    }
                } else if Path::new(&name).extension().is_some_and(|extension| extension == "md") {
                    names.push(path.into_os_string().into_string().unwrap());
                }
            }
        }
        names.sort();
        names.iter().map(|name| Self::read(name)).collect()
    }

    /// Fails unless the page says this; where it breaks its lines is of no matter.
    pub(crate) fn says(&self, words: &str) {
        let text = self.text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(words), "{} does not say: {words}", self.name);
    }

    /// The paragraph or list item, in one line, that begins with `start`.
    pub(crate) fn paragraph(&self, start: &str) -> String {
        let lines = self.text.lines().skip_while(|line| !line.starts_with(start));
        let own = lines.enumerate().take_while(|(n, line)| *n == 0 || !line.is_empty() && !line.starts_with("- "));
        let paragraph = own.map(|(_, line)| line.trim()).collect::<Vec<_>>().join(" ");
        assert!(!paragraph.is_empty(), "{} has no paragraph that begins with {start:?}", self.name);
        paragraph
    }

    /// The text under the heading `title`, up to the next one of the same level.
    pub(crate) fn section(&self, title: &str) -> String {
        let level = title.split(' ').next().unwrap();
        let lines = self.text.lines().skip_while(|line| *line != title).skip(1);
        let section: Vec<&str> = lines.take_while(|line| !line.starts_with(&format!("{level} "))).collect();
        assert!(!section.is_empty(), "{} has no {title:?}", self.name);
        section.join("\n")
    }

    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut lines = self.text.lines();
        while let Some(language) = lines.find_map(|line| line.strip_prefix("```")) {
            let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push(Block { language: language.to_owned(), text: text.join("\n") });
        }
        blocks
    }

    pub(crate) fn quoted(&self) -> Vec<&str> {
        // A fence is three of these quotes, an odd number that would turn inside and outside round.
        self.text.split("```").step_by(2).flat_map(quoted).collect()
    }

    /// What `](…)` leads to.
    pub(crate) fn links(&self) -> Vec<&str> {
        self.text.split("](").skip(1).map(|rest| rest.split_once(')').expect("a link ends").0).collect()
    }
}

/// The rows of all tables in `text`, heads included, as cells.
pub(crate) fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines = text.lines().filter(|line| line.starts_with('|') && !line.starts_with("|--"));
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The words in `text` that stand in back quotes.
pub(crate) fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}
