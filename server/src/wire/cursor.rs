//! Cursors: a place in one list, opaque on the wire.
//!
//! A cursor is the place and a digest over it and the list it belongs to: operation, tenant, order and filters. So a
//! damaged cursor, or one of another list, is told from a good one. It is no secret and guards none: what a list shows is
//! decided by the caller's key alone.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use poem_openapi::registry::MetaSchema;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::{
    base::validation::Violation,
    http::schema::{FromParameter, describe, text, text_schema},
};

const CHECK_BYTES: usize = 8;

/// A place in a list, as a cursor keeps it.
pub(crate) trait Place: Sized {
    /// Bytes of [`Self::to_bytes`].
    const BYTES: usize;

    /// The place as bytes.
    fn to_bytes(&self) -> Vec<u8>;

    /// The place back; `None` if the bytes are not those of one.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

impl Place for u128 {
    const BYTES: usize = size_of::<Self>();

    fn to_bytes(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::from_be_bytes)
    }
}

/// A cursor, or text that may turn out to be none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Cursor(String);

impl Cursor {
    /// Characters at most. Clients hold what they were given by this version to it, so it leaves room to the next.
    const MAX_CHARS: usize = 128;

    /// Takes any text within the bounds: only its list can tell a cursor.
    fn new(text: String) -> Result<Self, Violation> {
        if (1..=Self::MAX_CHARS).contains(&text.chars().count()) { Ok(Self(text)) } else { Err(no_cursor()) }
    }
}

fn no_cursor() -> Violation {
    Violation::new("is not a cursor of this list")
}

impl FromParameter for Cursor {
    fn schema() -> MetaSchema {
        text_schema(1, Self::MAX_CHARS)
    }

    fn from_parameter(text: &str) -> Result<Self, Violation> {
        Self::new(text.to_owned())
    }
}

describe!(Cursor, Self::schema(), |json| text(&json).and_then(Self::new), |value| Some(value.0.as_str().into()));

/// The list that a cursor belongs to.
pub(crate) struct List(Sha256);

impl List {
    /// Of this operation.
    pub(crate) fn of(operation: &str) -> Self {
        Self(Sha256::new()).with(operation)
    }

    /// And with this, which must stay the same from page to page.
    pub(crate) fn with(mut self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        // The length keeps parts apart.
        self.0.update((part.len() as u64).to_be_bytes());
        self.0.update(part);
        self
    }

    /// The cursor for `place`.
    pub(crate) fn cursor<P: Place>(&self, place: &P) -> Cursor {
        // Six bits a character, without padding.
        const { assert!(((P::BYTES + CHECK_BYTES) * 8).div_ceil(6) <= Cursor::MAX_CHARS) };
        let place = place.to_bytes();
        Cursor(URL_SAFE_NO_PAD.encode([place.as_slice(), &self.check(&place)].concat()))
    }

    /// The place of a cursor of this list.
    pub(crate) fn place<P: Place>(&self, cursor: &Cursor) -> Result<P, Violation> {
        let bytes = URL_SAFE_NO_PAD.decode(&cursor.0).map_err(|_| no_cursor())?;
        let (place, check) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or_else(no_cursor)?;
        let place = Some(place).filter(|place| *check == self.check(place));
        place.and_then(P::from_bytes).ok_or_else(no_cursor)
    }

    fn check(&self, place: &[u8]) -> [u8; CHECK_BYTES] {
        let mut check = [0; CHECK_BYTES];
        check.copy_from_slice(&self.0.clone().chain_update(place).finalize()[..CHECK_BYTES]);
        check
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_list_only() {
        let list = || List::of("list_things").with("tenant").with("asc");
        let cursor = list().cursor(&7_u128);
        assert_eq!(list().place(&cursor), Ok(7_u128));
        for other in [List::of("list_things").with("tenant").with("desc"), List::of("list_things").with("tenantasc")] {
            assert!(other.place::<u128>(&cursor).is_err());
        }
    }

    #[test]
    fn a_damaged_cursor_is_told() {
        let list = List::of("list_things");
        let Cursor(cursor) = list.cursor(&u128::MAX);
        for place in 0..cursor.len() {
            let mut damaged = cursor.clone().into_bytes();
            damaged[place] = if damaged[place] == b'A' { b'B' } else { b'A' };
            assert!(list.place::<u128>(&Cursor(String::from_utf8(damaged).unwrap())).is_err(), "at {place}");
        }
        for broken in ["", "A", &cursor[1..], &cursor[..30], &format!("{cursor}AAAA"), "é", "not base64!"] {
            assert!(list.place::<u128>(&Cursor(broken.to_owned())).is_err(), "{broken}");
        }
    }
}
