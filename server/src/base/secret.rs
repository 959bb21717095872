//! What API keys and tickets have in common: random text that is handed out once, and the hash that is kept of it.

use std::fmt;

use rand::{CryptoRng, RngExt as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::error::{Cause, Error};

/// The digits of base 62.
pub(crate) const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Characters of [`random_text`]: 190 bits.
pub(crate) const RANDOM_CHARS: usize = 32;

/// [`RANDOM_CHARS`] base-62 characters that nobody can guess.
pub(crate) fn random_text(random: &mut impl CryptoRng) -> String {
    (0..RANDOM_CHARS).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())])).collect()
}

/// SHA-256 of a secret: what the database keeps of it, and what it is looked up by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// Of the secret `text`. A plain hash is enough: the secret has 190 random bits, so there is no dictionary to try.
    pub(crate) fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Takes back what [`Self::as_bytes`] gave.
    ///
    /// # Errors
    /// [`Error::Internal`] when it has not 32 bytes.
    pub fn stored(bytes: &[u8]) -> Result<Self, Error> {
        bytes.try_into().map(Self).map_err(|_| Error::Internal(Cause::new("a stored hash has not 32 bytes")))
    }

    /// The 32 bytes, for storage.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 8 hexadecimal digits, by which an operator can match a key with a row of `parlor key list`.
    pub(crate) fn fingerprint(&self) -> String {
        let [a, b, c, d, ..] = self.0;
        format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
    }

    /// Whether `stored` is this hash, in a time that does not depend on where they differ.
    pub fn matches(&self, stored: &[u8]) -> bool {
        self.0.as_slice().ct_eq(stored).into()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(***)")
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    #[test]
    fn random_text_has_its_length_and_every_digit_occurs() {
        let mut random = StdRng::seed_from_u64(7);
        let texts: String = (0..100).map(|_| random_text(&mut random)).collect();
        assert_eq!(texts.len(), 100 * RANDOM_CHARS);
        assert!(ALPHABET.iter().all(|digit| texts.contains(char::from(*digit))), "{texts}");
    }
}
