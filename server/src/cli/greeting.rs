//! The text on standard output once a server listens.

use std::{
    ffi::OsStr,
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use crate::service::{Bootstrap, Tenants};

/// The text that lets a new user go on. Printed, not logged: it may hold the new key. `key_file` is the file that the
/// bootstrap key was read from.
pub(super) fn greeting(address: SocketAddr, bootstrap: &Bootstrap, key_file: Option<&OsStr>, has_demo: bool) -> String {
    let url = format!("http://{}", reachable(address));
    let mut text = format!("Parlor listens on http://{address}\nSwagger UI: {url}/docs/\n");
    if has_demo {
        _ = writeln!(text, "Demo: {url}/demo/");
    }
    match bootstrap {
        Bootstrap::Issued(issued) => {
            let key = issued.key.reveal();
            _ = writeln!(
                text,
                "\nThe database was empty: the tenant `default` has the API key\n\n    {key}\n\n\
                 It is shown this once. {} makes another.",
                create_key(Tenants::DEFAULT)
            );
            first_call(&mut text, &url, key);
        }
        Bootstrap::Adopted { replaced } => {
            text.push_str("\nThe tenant `default` now has the key of PARLOR_BOOTSTRAP_API_KEY.\n");
            tell_of_replaced(&mut text, *replaced);
            let key = match key_file.filter(|file| !file.is_empty()) {
                Some(file) => format!("$(cat {})", in_shell(&file.to_string_lossy())),
                None => "$PARLOR_BOOTSTRAP_API_KEY".to_owned(),
            };
            first_call(&mut text, &url, &key);
        }
        Bootstrap::Existing { tenant, has_valid_key, replaced } => {
            let create_key = create_key(tenant);
            let line = if *has_valid_key {
                format!("The database has API keys already, which are not shown again. {create_key} makes another.")
            } else {
                format!("The database has no API key that is valid. {create_key} makes one.")
            };
            _ = writeln!(text, "\n{line}");
            tell_of_replaced(&mut text, *replaced);
        }
        Bootstrap::Refused => {
            _ = writeln!(
                text,
                "\nThe API key of PARLOR_BOOTSTRAP_API_KEY was revoked or has expired, and is refused. {} makes another.",
                create_key(Tenants::DEFAULT)
            );
        }
    }
    text
}

/// The command that issues a key to a tenant.
fn create_key(tenant: &str) -> String {
    format!("`parlor key create --tenant {}`", in_shell(tenant))
}

fn tell_of_replaced(text: &mut String, replaced: usize) {
    if replaced > 0 {
        _ = writeln!(
            text,
            "Bootstrap keys of earlier starts that are revoked now: {replaced} (--keep-bootstrap-keys keeps them)."
        );
    }
}

/// A command that creates a chat with `key`, an API key or an expression of which a shell makes one.
fn first_call(text: &mut String, url: &str, key: &str) {
    _ = write!(
        text,
        "\nCreate a chat:\n\n    curl -X POST {url}/api/v1/chats/ \\\n      -H \"X-API-Key: {key}\" \\\n      \
         -H \"Content-Type: application/json\" \\\n      -d '{{\"user_id\": \"user123\", \"title\": \"Support Session\"}}'\n\n"
    );
}

/// The address under which this machine reaches a server that listens on `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Quotes `word` so that a shell takes it for one word.
fn in_shell(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeted(address: &str, bootstrap: &Bootstrap, key_file: Option<&str>) -> String {
        greeting(address.parse().unwrap(), bootstrap, key_file.map(OsStr::new), false)
    }

    #[test]
    fn links_lead_to_an_address_that_can_be_called() {
        let existing = Bootstrap::Existing { tenant: "acme".to_owned(), has_valid_key: true, replaced: 0 };
        for (address, link) in [
            ("0.0.0.0:80", "http://127.0.0.1:80/docs/"),
            ("[::]:80", "http://[::1]:80/docs/"),
            ("192.0.2.1:80", "http://192.0.2.1:80/docs/"),
        ] {
            let text = greeted(address, &existing, None);
            assert!(
                text.starts_with(&format!("Parlor listens on http://{address}\n")) && text.contains(link),
                "{text}"
            );
        }
    }

    #[test]
    fn a_command_names_the_tenant_and_the_file_of_the_key_as_a_shell_takes_them() {
        let existing = |has_valid_key| Bootstrap::Existing { tenant: "a b's".to_owned(), has_valid_key, replaced: 2 };
        let command = r"`parlor key create --tenant 'a b'\''s'` makes ";
        let text = greeted("127.0.0.1:80", &existing(true), None);
        assert!(text.contains(&format!("{command}another.")) && text.contains("revoked now: 2 ("), "{text}");
        assert!(greeted("127.0.0.1:80", &existing(false), None).contains(&format!("{command}one.")));
        let adopted = greeted("127.0.0.1:80", &Bootstrap::Adopted { replaced: 0 }, Some("/run/my key"));
        assert!(adopted.contains("X-API-Key: $(cat '/run/my key')") && !adopted.contains("revoked"), "{adopted}");
    }
}
