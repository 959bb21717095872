//! Percent-encoding (RFC 3986, section 2.1), read strictly.
//!
//! A lenient reader makes one text of two: `Jos%E9` and `Jos%E8`, which are not UTF-8, would both become `Jos\u{fffd}`, and
//! so one user. So a path or a query that is not UTF-8, or has a `%` without two hexadecimal digits, is refused before
//! anything is read from it.

use percent_encoding::percent_decode_str;

use super::{field_error::FieldError, problem::Problem};
use crate::base::validation::pointer_step;

/// Whether `text` has two hexadecimal digits after each `%` and is UTF-8 once they are decoded.
pub(crate) fn is_decodable(text: &str) -> bool {
    let mut escapes = text.split('%');
    _ = escapes.next();
    let are_complete =
        escapes.all(|rest| rest.as_bytes().first_chunk::<2>().is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)));
    are_complete && percent_decode_str(text).decode_utf8().is_ok()
}

/// Checks that every parameter of a query string can be decoded.
///
/// # Errors
/// `invalid_request`, which names each parameter that cannot be; `/query` stands for those whose name cannot be.
pub(crate) fn check_query(query: &str) -> Result<(), Problem> {
    if is_decodable(query) {
        return Ok(());
    }
    let wrong = query.split('&').filter(|pair| !is_decodable(pair)).map(|pair| {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        let step = if is_decodable(name) { name_step(name) } else { String::new() };
        FieldError::new(format!("/query{step}"), "must be UTF-8 in percent-encoding, as in %C3%A9 for é")
    });
    Err(Problem::invalid(wrong.collect()))
}

/// The step of a JSON pointer to the parameter of this name, which is still encoded.
fn name_step(name: &str) -> String {
    form_urlencoded::parse(name.as_bytes()).next().map_or_else(String::new, |(name, _)| pointer_step(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_escapes_of_utf_8_are_decodable() {
        for text in ["", "a", "a+b", "%C3%A9", "%c3%a9", "%25", "%F0%9F%91%8B", "é", "a%00b"] {
            assert!(is_decodable(text), "{text}");
        }
        for text in
            ["%", "%a", "a%", "%zz", "%1g", "%+1", "%E9", "%C3", "%C3x%A9", "%C3&%A9", "%ED%A0%80", "%C0%80", "%éa"]
        {
            assert!(!is_decodable(text), "{text}");
        }
    }
}
