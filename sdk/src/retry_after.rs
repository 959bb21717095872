//! The `Retry-After` header (RFC 9110, section 10.2.3).

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};

/// Parses how long the server asks to wait. Returns none if the header is absent or invalid, and zero for a date in the
/// past.
///
/// A date is relative to the response's own `Date`, so that the local clock does not matter; without one it is relative
/// to `now`.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        return value.parse().ok().map(Duration::from_secs);
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let answered = headers.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?.trim()).ok());
    Some(until.duration_since(answered.unwrap_or(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT, the RFC's example.
    const EXAMPLE: Duration = Duration::from_secs(784_111_777);

    fn wait(value: &str, now: Duration) -> Option<Duration> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
        retry_after(&headers, SystemTime::UNIX_EPOCH + now)
    }

    #[test]
    fn seconds_are_seconds() {
        assert_eq!(wait("0", EXAMPLE), Some(Duration::ZERO));
        assert_eq!(wait(" 125 ", EXAMPLE), Some(Duration::from_secs(125)));
    }

    #[test]
    fn all_three_forms_of_a_date_are_read() {
        let now = Duration::from_secs(784_111_687);
        for date in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(wait(date, now), Some(Duration::from_secs(90)), "{date}");
        }
    }

    #[test]
    fn a_date_in_the_past_is_zero() {
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT", EXAMPLE + Duration::from_secs(5)), Some(Duration::ZERO));
    }

    #[test]
    fn a_date_is_relative_to_the_date_of_the_response() {
        let asked = |date: &str, now| {
            let until = "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap();
            let headers = HeaderMap::from_iter([(RETRY_AFTER, until), (DATE, date.parse().unwrap())]);
            retry_after(&headers, SystemTime::UNIX_EPOCH + now)
        };
        for now in [Duration::ZERO, EXAMPLE, EXAMPLE * 2] {
            assert_eq!(asked("Sun, 06 Nov 1994 08:49:30 GMT", now), Some(Duration::from_secs(7)));
            assert_eq!(asked("Sun, 06 Nov 1994 08:49:38 GMT", now), Some(Duration::ZERO));
        }
        assert_eq!(asked("yesterday", Duration::from_secs(784_111_774)), Some(Duration::from_secs(3)));
    }

    #[test]
    fn invalid_values_are_ignored() {
        for value in ["", "-1", "1.5", "soon", "99999999999999999999999", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(wait(value, EXAMPLE), None, "{value:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), SystemTime::UNIX_EPOCH), None);
    }
}
