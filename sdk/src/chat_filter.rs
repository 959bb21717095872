//! The filter of the chat list.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::chat::Status;
use crate::error::Error;
use crate::metadata::kind_of;
use crate::path_and_query::Query;

/// A filter for [`Client::list_chats`](crate::Client::list_chats). A chat must match all conditions.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use parlor_sdk::{ChatFilter, Status};
///
/// let filter = ChatFilter::new()
///     .status(Status::Active)
///     .created_after(SystemTime::now() - Duration::from_secs(24 * 60 * 60))
///     .metadata("department", "technical")
///     .metadata("escalated", true);
/// # let _ = filter;
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ChatFilter {
    user_id: Option<String>,
    status: Option<Status>,
    created_after: Option<DateTime<Utc>>,
    created_before: Option<DateTime<Utc>>,
    metadata: Vec<(String, FilterValue)>,
}

/// The value that a metadata member must have. A serialization error is kept here so that building a filter does not
/// return a `Result`.
type FilterValue = Result<Box<RawValue>, Arc<serde_json::Error>>;

impl ChatFilter {
    /// Creates a filter that matches every chat of the tenant.
    pub fn new() -> Self {
        Self::default()
    }

    /// Matches chats of this user.
    pub fn user_id(mut self, user_id: impl Into<String>) -> Self {
        self.user_id = Some(user_id.into());
        self
    }

    /// Matches chats with this status.
    pub fn status(mut self, status: Status) -> Self {
        self.status = Some(status);
        self
    }

    /// Matches chats created after this time: a [`chrono::DateTime<Utc>`](DateTime) or a
    /// [`SystemTime`](std::time::SystemTime).
    pub fn created_after(mut self, moment: impl Into<DateTime<Utc>>) -> Self {
        self.created_after = Some(moment.into());
        self
    }

    /// Matches chats created before this time.
    pub fn created_before(mut self, moment: impl Into<DateTime<Utc>>) -> Self {
        self.created_before = Some(moment.into());
        self
    }

    /// Matches chats with this metadata member: a string, a number, a boolean or, as `None::<()>`, `null`. Several
    /// conditions can be added, and all must match; the server accepts up to 10.
    ///
    /// The server compares text: the string `"5"` also matches `5`, and the number `1.0` does not match `1`. A value
    /// that the server cannot compare (an array or an object) is reported as
    /// [`InvalidCall`](crate::ErrorKind::InvalidCall) when the list is read.
    ///
    /// ```
    /// # use parlor_sdk::{ChatFilter, Client, ErrorKind};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), parlor_sdk::Error> {
    /// # let client = Client::new("http://localhost:8000", "your-tenant-api-key")?;
    /// let floors = ChatFilter::new().metadata("floors", [1, 2]);
    /// let error = client.list_chats().filter(floors).await.unwrap_err();
    /// assert_eq!((error.kind(), error.attempts()), (ErrorKind::InvalidCall, 0));
    /// # Ok(())
    /// # }
    /// ```
    pub fn metadata(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        self.metadata.push((name.into(), to_raw_value(&value).map_err(Arc::new)));
        self
    }

    /// Writes the filter to the query, replacing an earlier one.
    pub(crate) fn write_to(self, query: &mut Query) -> Result<(), Error> {
        for name in ["user_id", "status", "created_after", "created_before", "metadata"] {
            query.remove(name);
        }
        if let Some(user_id) = self.user_id {
            query.set("user_id", user_id);
        }
        if let Some(status) = self.status {
            query.set("status", String::from(status));
        }
        for (name, moment) in [("created_after", self.created_after), ("created_before", self.created_before)] {
            if let Some(moment) = moment {
                query.set(name, moment.to_rfc3339_opts(SecondsFormat::AutoSi, true));
            }
        }
        for (name, wanted) in self.metadata {
            query.add("metadata", label(&name, &wanted)?);
        }
        Ok(())
    }
}

/// Returns `name:value` in the server's syntax, with colons and backslashes in the name escaped.
fn label(name: &str, wanted: &FilterValue) -> Result<String, Error> {
    let json = wanted.as_ref().map_err(|error| {
        Error::invalid_call(format!("the value for `{name}` cannot be serialized to JSON"))
            .with_source(Arc::clone(error))
    })?;
    match json.get().as_bytes().first() {
        Some(b'{' | b'[') => Err(Error::invalid_call(format!(
            "the value for `{name}` must be a string, a number, a boolean or null, not {}",
            kind_of(json)
        ))),
        Some(b'"') => {
            let text: String = serde_json::from_str(json.get()).map_err(|error| {
                Error::invalid_call(format!("the value for `{name}` is not text")).with_source(error)
            })?;
            Ok(format!("{}:{text}", escaped(name)))
        }
        _ => Ok(format!("{}:{json}", escaped(name))),
    }
}

fn escaped(name: &str) -> String {
    name.replace('\\', r"\\").replace(':', r"\:")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(filter: ChatFilter) -> Result<Query, Error> {
        let mut query = Query::default();
        filter.write_to(&mut query).map(|()| query)
    }

    #[test]
    fn strings_are_sent_as_text_and_other_values_as_json() {
        for (value, expected) in [
            (json!("technical"), "m:technical"),
            (json!("a:b \"c\""), "m:a:b \"c\""),
            (json!(""), "m:"),
            (json!(5), "m:5"),
            (json!(1.5), "m:1.5"),
            (json!(true), "m:true"),
            (json!(null), "m:null"),
        ] {
            let query = written(ChatFilter::new().metadata("m", value)).unwrap();
            assert_eq!(query.get("metadata"), Some(expected));
        }
    }

    #[test]
    fn a_colon_or_a_backslash_in_a_name_is_escaped() {
        for (name, expected) in [("a:b", r"a\:b:1"), (r"a\b", r"a\\b:1"), (r"a\:", r"a\\\::1")] {
            let query = written(ChatFilter::new().metadata(name, 1)).unwrap();
            assert_eq!(query.get("metadata"), Some(expected), "{name}");
        }
    }

    #[test]
    fn unsupported_filter_values_are_rejected() {
        for (filter, expected) in [
            (ChatFilter::new().metadata("m", json!({})), "an object"),
            (ChatFilter::new().metadata("m", [1]), "an array"),
            (ChatFilter::new().metadata("m", std::collections::BTreeMap::from([([1_u8], 2)])), "JSON"),
        ] {
            let error = written(filter).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::InvalidCall);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn a_filter_replaces_an_earlier_one() {
        let mut query = Query::default();
        query.set("limit", "7");
        let moment: DateTime<Utc> = "2024-01-15T10:30:00.5Z".parse().unwrap();
        let first = ChatFilter::new().user_id("u").created_after(moment).metadata("a", 1).metadata("b", 2);
        first.write_to(&mut query).unwrap();
        assert_eq!(query.names().collect::<Vec<_>>(), ["limit", "user_id", "created_after", "metadata", "metadata"]);
        assert_eq!(query.get("created_after"), Some("2024-01-15T10:30:00.500Z"));
        ChatFilter::new().status(Status::Closed).write_to(&mut query).unwrap();
        assert_eq!(query.names().collect::<Vec<_>>(), ["limit", "status"]);
    }
}
