//! The `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header).

use http::HeaderValue;
use uuid::Uuid;

use crate::error::Error;

/// Maximum length, in characters.
const MAX_LENGTH: usize = 255;

/// A valid key: 1–255 visible ASCII characters.
#[derive(Clone, Debug)]
pub(crate) struct IdempotencyKey(String);

impl IdempotencyKey {
    pub(crate) fn parse(key: String) -> Result<Self, Error> {
        if key.is_empty() || key.len() > MAX_LENGTH || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::invalid_call(format!(
                "an idempotency key must be 1 to {MAX_LENGTH} visible ASCII characters"
            )));
        }
        Ok(Self(key))
    }

    pub(crate) fn random() -> Self {
        Self(Uuid::new_v4().to_string())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn header_value(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("visible ASCII is a header value")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_1_to_255_visible_ascii_characters() {
        for good in ["k", "order-42/create", "~".repeat(255).as_str()] {
            assert_eq!(IdempotencyKey::parse(good.to_owned()).unwrap().header_value(), good);
        }
        for bad in ["", "a b", "a\n", "é", "\u{7f}", "~".repeat(256).as_str()] {
            assert!(IdempotencyKey::parse(bad.to_owned()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_random_key_is_a_new_uuid() {
        let (one, two) = (IdempotencyKey::random(), IdempotencyKey::random());
        assert_ne!(one.as_str(), two.as_str());
        assert_eq!(Uuid::parse_str(one.as_str()).unwrap().get_version_num(), 4);
        IdempotencyKey::parse(one.as_str().to_owned()).expect("the server accepts it");
    }
}
