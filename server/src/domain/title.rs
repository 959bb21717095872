use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::text::{check_control, check_text, check_visible, trim};
use crate::base::validation::Violation;

/// What a chat is called: 1–255 characters after trimming white space at both ends, no control characters, at least one
/// character that shows something (contract: create request).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Title(String);

impl Title {
    /// Characters at least, after trimming.
    pub const MIN_CHARS: usize = 1;
    /// Characters at most, after trimming.
    pub const MAX_CHARS: usize = 255;

    /// Takes `text` without the white space at its ends, if it keeps the rules.
    pub fn new(text: impl AsRef<str>) -> Result<Self, Violation> {
        // Before trimming, which would hide a line feed at the end.
        check_control(text.as_ref())?;
        let text = trim(text.as_ref());
        check_text(text, Self::MIN_CHARS, Self::MAX_CHARS)?;
        check_visible(text)?;
        Ok(Self(text.to_owned()))
    }

    /// The title of a chat whose creator gave none: readable, and sortable by a human eye.
    pub fn generate(created_at: DateTime<Utc>) -> Self {
        Self(created_at.format("Chat of %-d %b %Y, %H:%M").to_string())
    }
}

checked_text!(Title);

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;

    use super::*;

    #[test]
    fn a_generated_title_is_readable_and_valid() {
        let created_at = Utc.with_ymd_and_hms(2024, 1, 15, 10, 30, 0).unwrap();
        let title = Title::generate(created_at);
        assert_eq!(title.as_str(), "Chat of 15 Jan 2024, 10:30");
        assert_eq!(Title::new(title.as_str()), Ok(title));
    }

    #[test]
    fn length_counts_after_trimming() {
        let full = "é".repeat(Title::MAX_CHARS);
        assert_eq!(Title::new(format!("   {full} ")).unwrap().as_str(), full);
        assert!(Title::new(format!("{full}x")).is_err());
        assert_eq!(Title::new(" \u{a0} ").unwrap_err().detail, "must not be empty");
        assert_eq!(Title::new("a\n").unwrap_err().detail, "must not contain control characters");
        assert_eq!(Title::new("\u{feff} a").unwrap().as_str(), "a");
        assert_eq!(Title::new("\u{feff}").unwrap_err().detail, "must not be empty");
        assert_eq!(Title::new("\u{200b}").unwrap_err().detail, "must have a visible character");
    }
}
