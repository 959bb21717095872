//! JSON merge patch (RFC 7396) on text, so that what a patch does not touch stays as it was, digit by digit.

use std::borrow::Cow;

use super::RawObject;

/// `target` with `patch` applied, as compact as both are. Both are well-formed, and no object in them names a member
/// twice.
pub(super) fn merge(target: &str, patch: &str) -> Result<String, serde_json::Error> {
    let patch: RawObject<'_> = serde_json::from_str(patch)?;
    let target: RawObject<'_> =
        if target.starts_with('{') { serde_json::from_str(target)? } else { RawObject(Vec::new()) };
    let mut merged: Vec<(Cow<'_, str>, String)> =
        target.0.into_iter().map(|(name, json)| (name, json.get().to_owned())).collect();
    for (name, change) in patch.0 {
        let place = merged.iter().position(|(member, _)| *member == name);
        if change.get() == "null" {
            merged.extract_if(.., |(member, _)| *member == name).for_each(drop);
            continue;
        }
        let value = if change.get().starts_with('{') {
            merge(place.map_or("null", |place| merged[place].1.as_str()), change.get())?
        } else {
            change.get().to_owned()
        };
        match place {
            Some(place) => merged[place].1 = value,
            None => merged.push((name, value)),
        }
    }
    let members: Vec<String> = merged
        .into_iter()
        .map(|(name, value)| serde_json::to_string(&name).map(|name| format!("{name}:{value}")))
        .collect::<Result<_, _>>()?;
    Ok(format!("{{{}}}", members.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cases_of_the_rfc_with_an_object_as_patch() {
        // RFC 7396, appendix A.
        for (target, patch, merged) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            assert_eq!(merge(target, patch).unwrap(), merged, "{target} with {patch}");
        }
    }

    #[test]
    fn what_the_patch_does_not_touch_keeps_its_digits_and_its_order() {
        let target = r#"{"z":123456789012345678901234567890,"a":1.10,"q\"":[1.0]}"#;
        assert_eq!(merge(target, r#"{"a":2}"#).unwrap(), target.replace("1.10", "2"));
    }
}
