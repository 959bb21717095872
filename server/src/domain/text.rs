//! The rules of free text: what is white space, what is a control character, and what shows nothing.
//!
//! They are written here in code points, since the classes of regular expressions differ: `\s` has U+FEFF in ECMA-262 and
//! not in PCRE or Ruby, U+0085 in Rust and not in ECMA-262, and some engines read text byte by byte. For the same reason the
//! documents state these rules in words and have no `pattern` for them.

use crate::base::validation::Violation;

/// Checks that the number of characters (Unicode scalar values, as JSON Schema counts them) is within `min..=max`, and that
/// none is a control character: such text breaks terminals and logs, and PostgreSQL cannot store NUL.
pub(super) fn check_text(text: &str, min: usize, max: usize) -> Result<(), Violation> {
    let length = text.chars().count();
    if length < min {
        return Err(Violation::new("must not be empty"));
    }
    if length > max {
        return Err(Violation::new(format!("must have at most {max} characters")));
    }
    check_control(text)
}

/// Checks that no character is a control character: the general category Cc, U+0000–001F and U+007F–009F.
pub(super) fn check_control(text: &str) -> Result<(), Violation> {
    if text.chars().any(char::is_control) {
        return Err(Violation::new("must not contain control characters"));
    }
    Ok(())
}

/// Takes white space away at both ends.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(is_white_space)
}

/// Checks that at least one character shows something by itself.
pub(super) fn check_visible(text: &str) -> Result<(), Violation> {
    if text.chars().all(shows_nothing) {
        return Err(Violation::new("must have a visible character"));
    }
    Ok(())
}

/// Returns whether `character` is white space: what Unicode and ECMA-262 call so, without control characters.
fn is_white_space(character: char) -> bool {
    matches!(
        character,
        ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'
            ..='\u{200a}' | '\u{2028}' | '\u{2029}' | '\u{202f}' | '\u{205f}' | '\u{3000}' | '\u{feff}'
    )
}

/// Returns whether nothing is drawn for `character`: white space, the property `Default_Ignorable_Code_Point` of Unicode 17
/// (DerivedCoreProperties.txt), and the empty Braille pattern.
fn shows_nothing(character: char) -> bool {
    is_white_space(character)
        || character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fff8}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_is_what_unicode_calls_so_and_the_byte_order_mark_without_control_characters() {
        for character in '\0'..=char::MAX {
            let expected = character == '\u{feff}' || character.is_whitespace() && !character.is_control();
            assert_eq!(is_white_space(character), expected, "{character:?}");
        }
    }

    #[test]
    fn letters_digits_marks_and_pictures_show_something() {
        for text in
            ["a", "0", "é", "日", "\u{5d0}", "👋", "\u{301}", "𝟘", "\u{a0}x", "\u{200b}👩\u{200d}🚀", "\u{fffc}"]
        {
            assert_eq!(check_visible(text), Ok(()), "{text:?}");
        }
        for text in
            ["", " ", "\u{feff}", "\u{180e}", "\u{200b}", "\u{200d}\u{fe0f}", "\u{2800}", "\u{3164}", "\u{e0041}"]
        {
            assert!(check_visible(text).is_err(), "{text:?}");
        }
        for character in '\0'..=char::MAX {
            assert!(
                !(character.is_alphanumeric() && shows_nothing(character)) || is_filler(character),
                "{character:?}"
            );
        }
    }

    /// A letter by its category that is drawn as nothing.
    fn is_filler(character: char) -> bool {
        matches!(character, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}')
    }
}
