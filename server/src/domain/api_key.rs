use std::fmt;

use rand::CryptoRng;

use crate::base::{
    error::Error,
    secret::{ALPHABET, RANDOM_CHARS, SecretHash, random_text},
};

/// A tenant's API key in clear. Lives only between the request and the hash; never printed, except once by the command
/// that made it.
///
/// Ours are `plr_`, 32 random base-62 characters (190 bits) and 6 of checksum, so that a mistyped key is refused without
/// asking the database and secret scanners find leaked ones. A bootstrap key may be any text of
/// [`Self::MIN_CHARS`]–[`Self::MAX_CHARS`] visible ASCII characters.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// What every generated key starts with.
    pub const PREFIX: &str = "plr_";
    /// Characters at least, of a key chosen by the operator.
    pub const MIN_CHARS: usize = 16;
    /// Characters at most.
    pub const MAX_CHARS: usize = 255;
    const CHECKSUM_CHARS: usize = 6;

    /// Makes a new key from `random`.
    pub fn generate(random: &mut impl CryptoRng) -> Self {
        let body = random_text(random);
        let checksum = checksum(&body);
        Self(format!("{}{body}{checksum}", Self::PREFIX))
    }

    /// Takes a key that an operator chose.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the rule it breaks; the sentence does not repeat the key.
    pub fn chosen(text: &str) -> Result<Self, Error> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if !visible || !(Self::MIN_CHARS..=Self::MAX_CHARS).contains(&text.len()) {
            return Err(Error::Invalid(format!(
                "an API key must have {} to {} visible ASCII characters",
                Self::MIN_CHARS,
                Self::MAX_CHARS
            )));
        }
        Self::presented(text.as_bytes()).ok_or_else(|| {
            Error::Invalid(format!(
                "an API key that starts with {:?} must be one that `parlor key create` made: its checksum is wrong",
                Self::PREFIX
            ))
        })
    }

    /// Takes a key that a caller sent; `None` when no key can look like that.
    pub fn presented(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        if !(Self::MIN_CHARS..=Self::MAX_CHARS).contains(&text.len()) {
            return None;
        }
        if let Some(rest) = text.strip_prefix(Self::PREFIX) {
            if !text.is_ascii() || rest.len() != RANDOM_CHARS + Self::CHECKSUM_CHARS {
                return None;
            }
            let (body, sum) = rest.split_at(RANDOM_CHARS);
            if checksum(body) != sum {
                return None;
            }
        }
        Some(Self(text.to_owned()))
    }

    /// What is stored of the key.
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.0)
    }

    /// The first characters, to tell keys apart in a list: of ours the prefix and four more, of a chosen one, which may
    /// be short, three.
    pub fn hint(&self) -> &str {
        let shown = if self.0.starts_with(Self::PREFIX) { Self::PREFIX.len() + 4 } else { 3 };
        self.0.get(..shown).unwrap_or_default()
    }

    /// The key itself. The only way to it, so that a search for its callers finds every place that could leak one.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(***)")
    }
}

/// CRC-32 of `body` as base-62 digits.
fn checksum(body: &str) -> String {
    let mut rest = crc32fast::hash(body.as_bytes()) as usize;
    let mut digits = [b'0'; ApiKey::CHECKSUM_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[rest % ALPHABET.len()];
        rest /= ALPHABET.len();
    }
    digits.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    fn key() -> ApiKey {
        ApiKey::generate(&mut StdRng::seed_from_u64(7))
    }

    #[test]
    fn a_generated_key_is_accepted_and_a_mistyped_one_is_not() {
        let key = key();
        assert_eq!(key.reveal().len(), 42);
        assert_eq!(ApiKey::presented(key.reveal().as_bytes()), Some(key.clone()));
        let mut mistyped = key.reveal().to_owned().into_bytes();
        mistyped[10] = if mistyped[10] == b'x' { b'y' } else { b'x' };
        assert_eq!(ApiKey::presented(&mistyped), None);
        assert_eq!(ApiKey::presented(b"plr_short"), None);
        assert_eq!(ApiKey::presented("plr_é".repeat(9).as_bytes()), None);
    }

    #[test]
    fn nothing_printable_shows_the_key_or_its_hash() {
        let key = key();
        let printed = format!("{key:?} {key:#?} {:?}", key.hash());
        assert!(!printed.contains(&key.reveal()[4..]), "{printed}");
        assert_eq!(printed, "ApiKey(***) ApiKey(***) SecretHash(***)");
    }

    #[test]
    fn a_chosen_key_has_to_be_long_enough_and_visible() {
        assert!(ApiKey::chosen("your-tenant-api-key").is_ok());
        for bad in ["short", "with a space in it", "", "plr_0123456789012345"] {
            let error = ApiKey::chosen(bad).unwrap_err().to_string();
            assert!(bad.is_empty() || !error.contains(bad), "{error}");
        }
    }
}
