//! Secrets from files: every setting that is one has a second flag and variable, which name a file that holds it.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use super::Unshown;
use crate::base::error::{Error, Result};

/// Bytes at most in a file with a secret; none is as long.
const MAX_BYTES: u64 = 64 * 1024;

/// Returns the secret of the variable `name`: `value`, or the content of `file` without the newline at its end. An empty
/// variable is one that is not set, as deployment files have it; where there is no file, the setting decides what an empty
/// value is.
///
/// # Errors
/// [`Error::Invalid`] when both are given, or when the file cannot be read or is empty. Its sentence names the file.
pub(super) fn secret(name: &str, value: Option<Unshown>, file: Option<OsString>) -> Result<Option<String>> {
    let value = value.map(|value| value.0);
    let Some(file) = file.filter(|file| !file.is_empty()) else { return Ok(value) };
    if value.is_some_and(|value| !value.is_empty()) {
        let flag = flag_of(name);
        return Err(Error::Invalid(format!(
            "both {name} ({flag}) and {name}_FILE ({flag}-file) are given; keep one of them"
        )));
    }
    let file = PathBuf::from(file);
    let cannot = |reason: &str| {
        Error::Invalid(format!("cannot read the file {} that {name}_FILE names: {reason}", file.display()))
    };
    let text = read(&file).map_err(|error| cannot(&error.to_string()))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(cannot("it is empty")),
        secret => Ok(Some(secret.to_owned())),
    }
}

/// The flag of a variable.
fn flag_of(name: &str) -> String {
    format!("--{}", name.trim_start_matches("PARLOR_").to_ascii_lowercase().replace('_', "-"))
}

fn read(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    // One more than allowed, so that a longer file is told from one of that length.
    File::open(file)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!("it has more than {MAX_BYTES} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn from_file(path: &Path) -> Result<Option<String>> {
        secret("PARLOR_OPENAI_API_KEY", None, Some(path.into()))
    }

    #[test]
    fn a_file_gives_its_content_without_the_newline_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for (content, secret) in [("sk-1", "sk-1"), ("sk-1\n", "sk-1"), ("sk-1\r\n", "sk-1"), (" sk 1 \n", " sk 1 ")] {
            fs::write(&path, content).unwrap();
            assert_eq!(from_file(&path).unwrap().as_deref(), Some(secret), "{content:?}");
        }
    }

    #[test]
    fn a_file_that_gives_no_secret_is_named_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let refused = |path: &Path, reason: &str| {
            let error = from_file(path).unwrap_err().to_string();
            assert!(error.contains(path.to_str().unwrap()) && error.contains("PARLOR_OPENAI_API_KEY_FILE"), "{error}");
            assert!(error.contains(reason), "{reason}: {error}");
        };
        refused(&path, "No such file");
        refused(folder.path(), "directory");
        for (content, reason) in
            [(&b"\n"[..], "it is empty"), (b"\xff", "UTF-8"), (&vec![b'x'; 65 * 1024], "more than 65536 bytes")]
        {
            fs::write(&path, content).unwrap();
            refused(&path, reason);
        }
    }

    #[test]
    fn a_value_and_a_file_are_one_too_many_unless_one_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "of the file").unwrap();
        let both = |value: &str, file: OsString| secret("DATABASE_URL", Some(Unshown(value.to_owned())), Some(file));
        let error = both("sqlite://x", path.clone().into()).unwrap_err().to_string();
        assert!(error.contains("DATABASE_URL (--database-url) and DATABASE_URL_FILE (--database-url-file)"), "{error}");
        assert_eq!(both("", path.into()).unwrap().as_deref(), Some("of the file"));
        assert_eq!(both("sqlite://x", OsString::new()).unwrap().as_deref(), Some("sqlite://x"));
    }
}
