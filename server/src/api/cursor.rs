//! Cursors: a place in one list, opaque on the wire.
//!
//! A cursor is the place and a digest over it and the list it belongs to: operation, tenant, order and filters. So a
//! damaged cursor, or one of another list, is told from a good one. It is no secret and guards none: what a list shows is
//! decided by the caller's key alone.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use crate::chat::Violation;

const PLACE_BYTES: usize = 16;
const CHECK_BYTES: usize = 8;

/// The list that a cursor belongs to.
pub(super) struct List(Sha256);

impl List {
    /// Of this operation.
    pub(super) fn of(operation: &str) -> Self {
        Self(Sha256::new()).with(operation)
    }

    /// And with this, which must stay the same from page to page.
    pub(super) fn with(mut self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        // The length keeps parts apart.
        self.0.update((part.len() as u64).to_be_bytes());
        self.0.update(part);
        self
    }

    /// The cursor for `place`.
    pub(super) fn cursor(&self, place: u128) -> String {
        let place = place.to_be_bytes();
        URL_SAFE_NO_PAD.encode([place.as_slice(), &self.check(place)].concat())
    }

    /// The place of a cursor of this list.
    pub(super) fn place(&self, cursor: &str) -> Result<u128, Violation> {
        let wrong = || Violation::new("is not a cursor of this list");
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong())?;
        let (place, check) = bytes.split_first_chunk::<PLACE_BYTES>().ok_or_else(wrong)?;
        if check == self.check(*place) { Ok(u128::from_be_bytes(*place)) } else { Err(wrong()) }
    }

    fn check(&self, place: [u8; PLACE_BYTES]) -> [u8; CHECK_BYTES] {
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
        let cursor = list().cursor(7);
        assert_eq!(list().place(&cursor), Ok(7));
        for other in [List::of("list_things").with("tenant").with("desc"), List::of("list_things").with("tenantasc")] {
            assert!(other.place(&cursor).is_err());
        }
    }

    #[test]
    fn a_damaged_cursor_is_told() {
        let list = List::of("list_things");
        let cursor = list.cursor(u128::MAX);
        for place in 0..cursor.len() {
            let mut damaged = cursor.clone().into_bytes();
            damaged[place] = if damaged[place] == b'A' { b'B' } else { b'A' };
            assert!(list.place(&String::from_utf8(damaged).unwrap()).is_err(), "at {place}");
        }
        for broken in ["", "A", &cursor[1..], &cursor[..30], &format!("{cursor}AAAA"), "é", "not base64!"] {
            assert!(list.place(broken).is_err(), "{broken}");
        }
    }
}
