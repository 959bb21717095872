//! The path of a request with its parameters, and the query.

use std::borrow::Cow;

use reqwest::Url;
use uuid::Uuid;

use crate::error::Error;
use crate::operation::Operation;
use crate::percent_encode::percent_encode;

/// Returns the path of an operation on this chat.
pub(crate) fn chat_path(operation: Operation, chat_id: Uuid) -> String {
    operation.path().replace("{chat_id}", &chat_id.to_string())
}

/// Returns the path of an operation on this user. Fails for user ids that cannot be a path segment.
pub(crate) fn user_path(operation: Operation, user_id: &str) -> Result<String, Error> {
    // An empty segment changes the path, and clients and gateways resolve dot segments, even if written as %2E
    // (https://url.spec.whatwg.org/#double-dot-path-segment).
    if matches!(user_id, "" | "." | "..") {
        return Err(Error::invalid_call(format!(
            "the user id `{user_id}` cannot be part of a path: list its chats with \
             list_chats().filter(ChatFilter::new().user_id(…))"
        )));
    }
    Ok(operation.path().replace("{user_id}", &percent_encode(user_id)))
}

/// The query parameters of a request, in the order in which they were first set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(&'static str, Cow<'static, str>)>);

impl Query {
    /// Sets a parameter, replacing its values.
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<Cow<'static, str>>) {
        self.remove(name);
        self.add(name, value);
    }

    /// Adds a value to a parameter.
    pub(crate) fn add(&mut self, name: &'static str, value: impl Into<Cow<'static, str>>) {
        self.0.push((name, value.into()));
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.0.retain(|(present, _)| *present != name);
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(present, _)| *present == name).map(|(_, value)| value.as_ref())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|(name, _)| *name)
    }

    pub(crate) fn write_to(&self, url: &mut Url) {
        if !self.0.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base_url::BaseUrl;
    use crate::operation::LIST_USER_CHATS;

    /// Returns the path as the transport sends it.
    fn sent(user_id: &str) -> String {
        let path = user_path(LIST_USER_CHATS, user_id).unwrap();
        BaseUrl::parse("http://localhost").unwrap().join(&path).path().to_owned()
    }

    #[test]
    fn any_user_id_is_one_path_segment() {
        for (user_id, expected) in [
            ("user123", "user123"),
            ("a/b?c=d%#e", "a%2Fb%3Fc%3Dd%25%23e"),
            ("../admin", "..%2Fadmin"),
            ("...", "..."),
            ("%2e%2E", "%252e%252E"),
            ("a\\b", "a%5Cb"),
            (" é日\u{1f600} ", "%20%C3%A9%E6%97%A5%F0%9F%98%80%20"),
            ("\t\n", "%09%0A"),
            ("a+b&c;d:e@f", "a%2Bb%26c%3Bd%3Ae%40f"),
            ("{chat_id}", "%7Bchat_id%7D"),
        ] {
            assert_eq!(sent(user_id), format!("/api/v1/chats/user/{expected}"));
        }
    }

    #[test]
    fn an_invalid_path_segment_is_rejected_with_advice() {
        for user_id in ["", ".", ".."] {
            let error = user_path(LIST_USER_CHATS, user_id).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::InvalidCall);
            assert!(error.to_string().contains("ChatFilter"), "{error}");
        }
    }

    #[test]
    fn an_encoded_dot_segment_is_resolved() {
        // This is why dot segments are rejected. If this test fails one day, they can be allowed.
        let url = BaseUrl::parse("http://localhost").unwrap().join("/api/v1/chats/user/%2E%2E");
        assert_eq!(url.path(), "/api/v1/chats/");
    }

    #[test]
    fn a_query_is_encoded_and_absent_when_empty() {
        let mut url = Url::parse("http://localhost/x").unwrap();
        let mut query = Query::default();
        query.write_to(&mut url);
        assert_eq!(url.as_str(), "http://localhost/x");
        query.set("a", "1");
        query.add("b", "x:é &=+");
        query.add("b", "y");
        query.set("a", "2");
        query.write_to(&mut url);
        assert_eq!(url.query(), Some("b=x%3A%C3%A9+%26%3D%2B&b=y&a=2"));
    }
}
