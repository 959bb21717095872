use serde::{Deserialize, Serialize};

use super::text::check_text;
use crate::base::validation::Violation;

/// Who a chat belongs to: the identifier that the tenant's own system uses for its user.
///
/// 1–255 characters, no control characters (contract: create request). Compared exactly: no trimming, no folding.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(String);

impl UserId {
    /// Characters at least.
    pub const MIN_CHARS: usize = 1;
    /// Characters at most.
    pub const MAX_CHARS: usize = 255;

    /// Takes `text` if it keeps the rules.
    pub fn new(text: String) -> Result<Self, Violation> {
        check_text(&text, Self::MIN_CHARS, Self::MAX_CHARS)?;
        Ok(Self(text))
    }
}

checked_text!(UserId);
