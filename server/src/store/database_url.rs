//! The URL of a database.

use std::{borrow::Cow, fmt, str::FromStr};

use sea_orm::DbBackend;

use crate::base::error::{Error, Result};

/// Where the data is: `sqlite://path` (created when missing) or `postgres://user:password@host/database`.
///
/// May hold a password, so `Debug` and `Display` show the scheme only.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    url: String,
    backend: DbBackend,
}

impl DatabaseUrl {
    /// The URL, which may hold a password.
    pub(super) fn as_str(&self) -> &str {
        &self.url
    }

    /// The kind of database that it names.
    pub(super) fn backend(&self) -> DbBackend {
        self.backend
    }

    fn scheme(&self) -> &str {
        self.url.split_once(':').map_or("", |(scheme, _)| scheme)
    }
}

impl FromStr for DatabaseUrl {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self> {
        let backend = match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => DbBackend::Sqlite,
            Some("postgres" | "postgresql") => DbBackend::Postgres,
            _ => {
                return Err(Error::Invalid(
                    "DATABASE_URL must start with sqlite:// or postgres://, as in sqlite://parlor.db".to_owned(),
                ));
            }
        };
        if backend == DbBackend::Sqlite && !names_a_file(url) {
            return Err(Error::Invalid(
                "DATABASE_URL must name a file that can be written, as in sqlite://parlor.db; Parlor keeps no database in \
                 memory and opens none read-only"
                    .to_owned(),
            ));
        }
        Ok(Self { url: url.to_owned(), backend })
    }
}

/// Whether the URL of a SQLite database names a file and asks for no mode in which nothing could be kept.
fn names_a_file(url: &str) -> bool {
    let rest = url.trim_start_matches("sqlite:").trim_start_matches("//");
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let asks_for_less = |parameter| matches!(parameter, "mode=memory" | "mode=ro" | "immutable=1" | "immutable=true");
    !matches!(path, "" | ":memory:") && !query.split('&').any(asks_for_less)
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://***", self.scheme())
    }
}

/// The parameters of a PostgreSQL URL that the driver knows, beside `options[…]`.
const SERVER_PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// The URL of a PostgreSQL database without the parameters that the driver does not know. It ignores them as well, but logs
/// their values, and the value of a misspelt `password` is a secret. Each is logged by its name alone.
pub(super) fn known_parameters(url: &str) -> Cow<'_, str> {
    let Some((address, query)) = url.split_once('?') else { return Cow::Borrowed(url) };
    let is_known =
        |(name, _): &(Cow<'_, str>, Cow<'_, str>)| SERVER_PARAMETERS.contains(&&**name) || name.starts_with("options[");
    let (known, unknown): (Vec<_>, Vec<_>) = form_urlencoded::parse(query.as_bytes()).partition(is_known);
    for (name, _) in &unknown {
        tracing::warn!(parameter = %name, "an unknown parameter of DATABASE_URL is ignored");
    }
    if unknown.is_empty() {
        return Cow::Borrowed(url);
    }
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(known).finish();
    Cow::Owned(format!("{address}?{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_url_never_shows_its_password() {
        let url: DatabaseUrl = "postgres://parlor:hunter2@localhost/parlor".parse().unwrap();
        assert_eq!(format!("{url} {url:?}"), "postgres://*** postgres://***");
    }

    #[test]
    fn parameters_that_the_driver_does_not_know_are_not_given_to_it() {
        let cases = [
            ("postgres://a:b@c/d", "postgres://a:b@c/d"),
            ("postgres://a@c/d?sslmode=require&options[x]=y%20z", "postgres://a@c/d?sslmode=require&options[x]=y%20z"),
            ("postgres://a@c/d?pasword=hunter2", "postgres://a@c/d?"),
            ("postgres://a@c/d?pasword=hunter2&password=a%26b&Port=1", "postgres://a@c/d?password=a%26b"),
        ];
        for (url, expected) in cases {
            assert_eq!(known_parameters(url), expected, "{url}");
        }
    }

    #[test]
    fn a_url_without_a_file_that_can_be_written_is_refused() {
        for url in [
            "sqlite:",
            "sqlite://",
            "sqlite::memory:",
            "sqlite://:memory:",
            "sqlite://x?mode=memory",
            "sqlite://x?mode=ro",
        ] {
            let error = url.parse::<DatabaseUrl>().unwrap_err().to_string();
            assert!(error.contains("must name a file"), "{url}: {error}");
        }
        for url in ["sqlite://x", "sqlite:x", "sqlite:///x", "sqlite://x?mode=rwc"] {
            assert!(url.parse::<DatabaseUrl>().is_ok(), "{url}");
        }
    }

    #[test]
    fn an_unknown_scheme_is_refused_with_a_sentence() {
        let error = "mysql://root:secret@localhost/x".parse::<DatabaseUrl>().unwrap_err().to_string();
        assert!(error.contains("sqlite://parlor.db") && !error.contains("secret"), "{error}");
    }
}
