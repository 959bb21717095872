//! The API key, in a type that does not print it.

use std::fmt;

use http::HeaderValue;

use crate::error::Error;

/// A tenant's API key: visible ASCII, printed as `***`.
#[derive(Clone)]
pub(crate) struct ApiKey(HeaderValue);

impl ApiKey {
    /// Error messages do not contain the key, not even the invalid part.
    pub(crate) fn parse(key: &str) -> Result<Self, Error> {
        if key.is_empty() {
            return Err(Error::configuration("the API key is empty: use the key printed by `parlor key create`"));
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::configuration(
                "the API key must be visible ASCII: check for a space, line break or quotation mark copied with the key",
            ));
        }
        let mut value =
            HeaderValue::from_str(key).map_err(|_| Error::configuration("the API key is not a valid header value"))?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    /// Returns the value of `X-API-Key`, marked as sensitive so that the HTTP stack does not print it either.
    pub(crate) fn header_value(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_sensitive_and_the_key_is_not_printed() {
        let key = ApiKey::parse("plr_secret").unwrap();
        assert!(key.header_value().is_sensitive());
        assert_eq!(key.header_value(), "plr_secret");
        assert_eq!(format!("{key:?} {:?}", key.header_value()), "*** Sensitive");
    }

    #[test]
    fn an_invalid_key_is_rejected_and_not_in_the_error() {
        for key in ["", "with space", "line\n", "tab\t", "naïve", "nul\0", "\u{7f}"] {
            let error = ApiKey::parse(key).unwrap_err();
            assert!(error.to_string().contains("API key"), "{error}");
            assert!(key.is_empty() || !format!("{error} {error:?}").contains(key), "{error}");
        }
    }
}
