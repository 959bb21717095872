//! The `Retry-After` header (RFC 9110, section 10.2.3).

use std::time::{Duration, SystemTime};

use chrono::NaiveDateTime;
use http::HeaderMap;
use http::header::RETRY_AFTER;

/// The three forms of an HTTP date (RFC 9110, section 5.6.7), the preferred one first.
const HTTP_DATE_FORMS: [&str; 3] = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];

/// How long to wait from `now`; none when the header is absent or means nothing. A date that has passed is no wait.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        return value.parse().ok().map(Duration::from_secs);
    }
    let date = http_date(value)?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

fn http_date(value: &str) -> Option<SystemTime> {
    HTTP_DATE_FORMS
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(value, form).ok())
        .map(|date| date.and_utc().into())
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
    fn a_date_that_has_passed_is_no_wait() {
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT", EXAMPLE + Duration::from_secs(5)), Some(Duration::ZERO));
    }

    #[test]
    fn nonsense_is_ignored() {
        for value in ["", "-1", "1.5", "soon", "99999999999999999999999", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(wait(value, EXAMPLE), None, "{value:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), SystemTime::UNIX_EPOCH), None);
    }
}
