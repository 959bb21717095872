//! Finds one member of a JSON object while the object's bytes pass by and are not kept.

/// Looks for a string member at the top level of a JSON object. Expects well-formed JSON; in anything else it finds nothing
/// or some string, but never fails.
#[derive(Debug)]
pub(super) struct MemberScanner {
    name: &'static str,
    /// Bytes of a string, quotes and escapes included, beyond which it cannot be the name or the value.
    max_bytes: usize,
    depth: usize,
    place: Place,
    /// Whether the next string at the top level is a name.
    expects_name: bool,
    /// Whether the last name was the one that is looked for.
    is_wanted: bool,
    /// The string at the top level that is passing by, at most [`Self::max_bytes`] and one byte more.
    text: Vec<u8>,
    found: Option<String>,
}

/// Where the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Not in a string.
    Outside,
    String,
    /// Behind a backslash in a string.
    Escape,
}

impl MemberScanner {
    pub(super) fn new(name: &'static str, max_bytes: usize) -> Self {
        Self {
            name,
            max_bytes: max_bytes.max(name.len() + 2),
            depth: 0,
            place: Place::Outside,
            expects_name: false,
            is_wanted: false,
            text: Vec::new(),
            found: None,
        }
    }

    /// The member's value, if it has passed by.
    pub(super) fn into_found(self) -> Option<String> {
        self.found
    }

    /// Takes the next byte.
    pub(super) fn see(&mut self, byte: u8) {
        if self.place != Place::Outside {
            self.keep(byte);
            self.place = match (self.place, byte) {
                (Place::String, b'\\') => Place::Escape,
                (Place::String, b'"') => {
                    self.end_string();
                    Place::Outside
                }
                _ => Place::String,
            };
            return;
        }
        match byte {
            b'"' => {
                self.place = Place::String;
                self.text.clear();
                self.keep(byte);
            }
            b'{' | b'[' => {
                self.depth += 1;
                self.expects_name = self.depth == 1 && byte == b'{';
            }
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b':' if self.depth == 1 => self.expects_name = false,
            b',' if self.depth == 1 => {
                self.expects_name = true;
                self.is_wanted = false;
            }
            _ => {}
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.depth == 1 && self.text.len() <= self.max_bytes {
            self.text.push(byte);
        }
    }

    fn end_string(&mut self) {
        if self.depth != 1 || !self.expects_name && !self.is_wanted {
            return;
        }
        let fits = self.text.len() <= self.max_bytes;
        let text: Option<String> = serde_json::from_slice(&self.text).ok().filter(|_| fits);
        if self.expects_name {
            self.is_wanted = text.is_some_and(|text| text == self.name);
        } else if self.found.is_none() {
            self.found = text;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(json: &str) -> Option<String> {
        let mut scanner = MemberScanner::new("id", 20);
        json.bytes().for_each(|byte| scanner.see(byte));
        scanner.into_found()
    }

    #[test]
    fn the_member_is_found_wherever_it_is_and_however_it_is_written() {
        for json in [
            r#"{"id":"m1"}"#,
            r#" { "content" : "x" , "id" : "m1" } "#,
            r#"{"content":"{\"id\":\"no\"}","metadata":{"id":"no","a":["id",{"id":"no"}]},"id":"m1"}"#,
            r#"{"\u0069d":"\u006d1","content":"id"}"#,
            r#"{"content":"id","id":"m1","id":"m2"}"#,
            r#"{"content":"a very long text that is not kept","id":"m1"}"#,
        ] {
            assert_eq!(find(json).as_deref(), Some("m1"), "{json}");
        }
    }

    #[test]
    fn what_is_no_such_member_is_not_found() {
        for json in [
            r#"{"content":"id"}"#,
            r#"{"a":{"id":"no"}}"#,
            r#"["id","no"]"#,
            r#"{"id":7,"content":"no"}"#,
            r#"{"id":{"id":"no"}}"#,
            r#"{"id":"longer than twenty bytes"}"#,
            r#"{"id":"cut"#,
            "id: no",
            "}}]]\"\"\"",
        ] {
            assert_eq!(find(json), None, "{json}");
        }
    }
}
