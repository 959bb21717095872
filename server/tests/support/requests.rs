//! The operations as a test calls them: the verb, what it names, what it sends, and the status that is expected.

use reqwest::Method;
use serde_json::Value;

use super::{Answer, Client};

/// The path of a chat, whatever `id` looks like.
pub(crate) fn chat(id: &str) -> String {
    format!("/api/v1/chats/{id}")
}

/// The path of a chat's messages.
pub(crate) fn messages(id: &str) -> String {
    format!("/api/v1/chats/{id}/messages")
}

/// The path of a chat's tickets.
pub(crate) fn tickets(id: &str) -> String {
    format!("/api/v1/chats/{id}/tickets")
}

/// A query string of `parameters`, percent-encoded.
pub(crate) fn query(parameters: &[(&str, &str)]) -> String {
    let pairs = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    if pairs.is_empty() { pairs } else { format!("?{pairs}") }
}

impl Client {
    pub(crate) async fn get_chat(&self, id: &str, expected: u16) -> Answer {
        self.get(&chat(id), expected).await
    }

    pub(crate) async fn list_chats(&self, parameters: &[(&str, &str)], expected: u16) -> Answer {
        self.get(&format!("/api/v1/chats/{}", query(parameters)), expected).await
    }

    /// `user` is percent-encoded.
    pub(crate) async fn list_user_chats(&self, user: &str, parameters: &[(&str, &str)], expected: u16) -> Answer {
        self.get(&format!("/api/v1/chats/user/{user}{}", query(parameters)), expected).await
    }

    pub(crate) async fn update_chat(&self, id: &str, patch: &Value, expected: u16) -> Answer {
        self.send(Method::PATCH, &chat(id), Some(patch.to_string().into_bytes()), expected).await
    }

    pub(crate) async fn delete_chat(&self, id: &str, parameters: &[(&str, &str)], expected: u16) -> Answer {
        self.send(Method::DELETE, &format!("{}{}", chat(id), query(parameters)), None, expected).await
    }

    pub(crate) async fn send_message(&self, id: &str, message: &Value, expected: u16) -> Answer {
        self.send(Method::POST, &messages(id), Some(message.to_string().into_bytes()), expected).await
    }

    pub(crate) async fn list_messages(&self, id: &str, parameters: &[(&str, &str)], expected: u16) -> Answer {
        self.get(&format!("{}{}", messages(id), query(parameters)), expected).await
    }

    pub(crate) async fn create_ticket(&self, id: &str, request: &Value, expected: u16) -> Answer {
        self.send(Method::POST, &tickets(id), Some(request.to_string().into_bytes()), expected).await
    }

    /// Creates a chat of `user` and returns its id.
    pub(crate) async fn new_chat(&self, user: &str) -> String {
        let chat = self.create_chat(&serde_json::json!({ "user_id": user }), 201).await.json();
        chat["id"].as_str().unwrap().to_owned()
    }
}

impl Answer {
    /// The string members called `name` of the items of the list called `list`.
    pub(crate) fn each(&self, list: &str, name: &str) -> Vec<String> {
        let items = self.json();
        let items = items[list].as_array().unwrap();
        items.iter().map(|item| item[name].as_str().unwrap().to_owned()).collect()
    }
}
