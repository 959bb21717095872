//! Redaction of the request's secrets in the server's responses.

use std::error::Error as StdError;
use std::fmt;

use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::headers::X_API_KEY;
use crate::percent_encode::percent_encode;

/// The replacement for a secret.
const MASK: &str = "***";
/// Prefixes of the secrets that Parlor issues: API keys, tickets, user tokens, webhook secrets.
const PREFIXES: [&str; 4] = ["plr_", "plt_", "plu_", "whsec_"];
/// Minimum number of characters after a prefix.
const MIN_SUFFIX: usize = 16;
/// Minimum length of an API key to redact, in bytes. A shorter key would match ordinary words.
const MIN_KEY: usize = 4;
/// Minimum length of another credential to redact, in bytes.
const MIN_CREDENTIAL: usize = 6;
/// Minimum length of a secret's beginning at the end of a text, where the secret may be cut off, in bytes.
const MIN_TRUNCATED: usize = 8;
/// Substrings of the names of headers that contain credentials.
const CREDENTIAL_NAMES: [&str; 6] = ["auth", "key", "password", "secret", "session", "token"];
/// Header names with such a substring whose values are not secrets.
const PUBLIC_NAMES: [&str; 2] = ["idempotency-key", "sec-websocket-key"];

/// The secrets of a request: its API key and the credentials in its other headers.
#[derive(Default)]
pub(crate) struct Secrets {
    /// In lower case, in every encoding in which a response may echo them, longest first.
    forms: Vec<String>,
}

impl Secrets {
    /// Collects the secrets from the headers of a request.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut forms = Vec::new();
        for (name, value) in headers {
            let Ok(text) = value.to_str() else { continue };
            if *name == X_API_KEY {
                add_forms(&mut forms, text, MIN_KEY);
            } else if is_credential(name, value) {
                add_forms(&mut forms, text, MIN_CREDENTIAL);
                // `Authorization` begins with a scheme, which a response may omit.
                if let Some((_, credential)) = text.rsplit_once(' ') {
                    add_forms(&mut forms, credential, MIN_CREDENTIAL);
                }
            }
        }
        forms.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        Self { forms }
    }

    /// Returns the text without secrets, or none if it has none.
    pub(crate) fn redacted(&self, text: &str) -> Option<String> {
        // Secrets are matched case-insensitively; lower-casing ASCII keeps byte offsets.
        let lower = text.to_ascii_lowercase();
        let (mut clean, mut at, mut is_changed) = (String::new(), 0, false);
        while at < text.len() {
            if let Some((kept, length)) = self.secret_at(&lower, at) {
                clean.push_str(&text[at..at + kept]);
                clean.push_str(MASK);
                at += length;
                is_changed = true;
            } else {
                let next = text[at..].chars().next().map_or(1, char::len_utf8);
                clean.push_str(&text[at..at + next]);
                at += next;
            }
        }
        is_changed.then_some(clean)
    }

    /// Replaces the secrets in the text.
    pub(crate) fn redact(&self, text: &mut String) {
        if let Some(clean) = self.redacted(text) {
            *text = clean;
        }
    }

    /// Returns the cause unchanged, or reduced to its redacted text if it or one of its own causes contains a secret.
    pub(crate) fn redact_cause(&self, cause: Box<dyn StdError + Send + Sync>) -> Box<dyn StdError + Send + Sync> {
        let first: &(dyn StdError + 'static) = &*cause;
        let chain = || std::iter::successors(Some(first), |&cause| cause.source());
        if chain().all(|cause| self.redacted(&format!("{cause} {cause:?}")).is_none()) {
            return cause;
        }
        let open_enum = chain().map(ToString::to_string).collect::<Vec<_>>().join(": ");
        let clean = self.redacted(&open_enum).unwrap_or(open_enum);
        Box::new(RedactedCause(clean))
    }

    /// Matches a secret at this offset of the lower-cased text. Returns how many of its bytes may be shown, and its
    /// length.
    fn secret_at(&self, lower: &str, at: usize) -> Option<(usize, usize)> {
        let rest = &lower[at..];
        if let Some(form) = self.forms.iter().find(|form| rest.starts_with(form.as_str())) {
            return Some((0, form.len()));
        }
        if rest.len() >= MIN_TRUNCATED && self.forms.iter().any(|form| form.starts_with(rest)) {
            return Some((0, rest.len()));
        }
        let prefix = PREFIXES.into_iter().find(|prefix| rest.starts_with(prefix))?;
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-+/=".contains(byte);
        let suffix = rest.as_bytes()[prefix.len()..].iter().take_while(|byte| is_part(byte)).count();
        (suffix >= MIN_SUFFIX).then_some((prefix.len(), prefix.len() + suffix))
    }
}

fn is_credential(name: &HeaderName, value: &HeaderValue) -> bool {
    let text = name.as_str();
    if PUBLIC_NAMES.contains(&text) {
        return false;
    }
    value.is_sensitive()
        || [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE].contains(name)
        || CREDENTIAL_NAMES.iter().any(|part| text.contains(part))
}

/// Adds the secret as it is, and in its JSON, HTML and URL encodings.
fn add_forms(forms: &mut Vec<String>, secret: &str, shortest: usize) {
    let secret = secret.trim();
    if secret.len() < shortest {
        return;
    }
    let json = secret.replace('\\', r"\\").replace('"', "\\\"");
    let json_with_slashes = json.replace('/', r"\/");
    let html = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let html_with_apostrophes = html.replace('\'', "&#39;");
    let percent_encoded = percent_encode(secret);
    let all = [secret.to_owned(), json, json_with_slashes, html, html_with_apostrophes, percent_encoded];
    forms.extend(all.into_iter().map(|form| form.to_ascii_lowercase()));
}

/// The redacted text of a cause that contained a secret.
#[derive(Debug)]
struct RedactedCause(String);

impl fmt::Display for RedactedCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for RedactedCause {}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(headers: &[(&'static str, &str)]) -> Secrets {
        let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        Secrets::of(&headers.collect())
    }

    fn shown(secrets: &Secrets, text: &str) -> String {
        secrets.redacted(text).unwrap_or_else(|| text.to_owned())
    }

    #[test]
    fn a_key_is_redacted_in_every_encoding() {
        let secrets = secrets(&[("x-api-key", r#"Ab"c\d/e&f<g>h'i"#)]);
        for text in [
            r#"Ab"c\d/e&f<g>h'i"#,
            r#"AB"C\D/E&F<G>H'I"#,
            r#"Ab\"c\\d/e&f<g>h'i"#,
            r#"Ab\"c\\d\/e&f<g>h'i"#,
            "Ab&quot;c\\d/e&amp;f&lt;g&gt;h'i",
            "Ab&quot;c\\d/e&amp;f&lt;g&gt;h&#39;i",
            "Ab%22c%5Cd%2Fe%26f%3Cg%3Eh%27i",
            "ab%22c%5cd%2fe%26f%3cg%3eh%27i",
        ] {
            assert_eq!(shown(&secrets, &format!("日<{text}>")), "日<***>", "{text}");
        }
    }

    #[test]
    fn credentials_in_other_headers_are_redacted() {
        let secrets = secrets(&[
            ("authorization", "Bearer hunter22"),
            ("x-gateway-token", "open-sesame"),
            ("cookie", "sid=abcdef"),
            ("idempotency-key", "order-42"),
            ("x-request-id", "request-1"),
            ("x-pin-token", "1234"),
        ]);
        let text = "Bearer hunter22, hunter22, open-sesame, sid=abcdef, order-42, request-1, 1234";
        assert_eq!(shown(&secrets, text), "***, ***, ***, ***, order-42, request-1, 1234");
    }

    #[test]
    fn secrets_of_parlor_are_recognised_by_prefix() {
        let secrets = Secrets::default();
        for prefix in PREFIXES {
            assert_eq!(shown(&secrets, &format!("a {prefix}0123456789abcdEF b")), format!("a {prefix}*** b"));
            assert_eq!(secrets.redacted(&format!("{prefix} keys, {prefix}short")), None);
        }
    }

    #[test]
    fn a_truncated_key_at_the_end_is_redacted() {
        let secrets = secrets(&[("x-api-key", "0123456789abcdef")]);
        assert_eq!(shown(&secrets, "key 0123456789"), "key ***");
        assert_eq!(shown(&secrets, "key 01234567"), "key ***");
        assert_eq!(secrets.redacted("key 0123456"), None);
    }

    #[test]
    fn a_cause_is_kept_unless_it_contains_a_secret() {
        let secrets = secrets(&[("x-api-key", "0123456789abcdef")]);
        let parse =
            |json: &str| -> Box<dyn StdError + Send + Sync> { Box::new(serde_json::from_str::<u8>(json).unwrap_err()) };
        assert!(secrets.redact_cause(parse("true")).is::<serde_json::Error>());
        let cause = secrets.redact_cause(parse(r#""0123456789abcdef""#));
        assert!(!format!("{cause} {cause:?}").contains("0123456789abcdef"), "{cause}");
        assert!(cause.to_string().contains("***"), "{cause}");
    }
}
