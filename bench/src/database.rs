//! Databases that are thrown away: a new one for each server.

use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use tempfile::TempDir;

use crate::Outcome;

/// Where databases are made.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    /// The URL of a database of PostgreSQL from which others can be created; it ends with that one's name.
    pub(crate) url: String,
    /// PostgreSQL's client.
    pub(crate) psql: PathBuf,
}

/// A new database. Goes with its handle.
pub(crate) enum Database {
    /// A file in a folder of its own.
    Sqlite(TempDir),
    /// One of a cluster.
    Postgres { cluster: Cluster, name: String },
    /// The URL of a database that another handle owns.
    Shared(String),
}

impl Database {
    /// A file in a new folder of `folder`.
    pub(crate) fn sqlite(folder: &Path) -> io::Result<Self> {
        tempfile::Builder::new().prefix("parlor-bench.").tempdir_in(folder).map(Self::Sqlite)
    }

    /// An empty database of `cluster`.
    pub(crate) fn postgres(cluster: &Cluster) -> Outcome<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("parlor_bench_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        cluster.execute(&format!("CREATE DATABASE {name}"))?;
        Ok(Self::Postgres { cluster: cluster.clone(), name })
    }

    /// The size of its files, if they are its own.
    pub(crate) fn bytes(&self) -> io::Result<u64> {
        let Self::Sqlite(folder) = self else { return Ok(0) };
        let mut bytes = 0;
        for file in std::fs::read_dir(folder.path())? {
            bytes += file?.metadata()?.len();
        }
        Ok(bytes)
    }

    /// As `DATABASE_URL` has it.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite://{}", folder.path().join("bench.db").display()),
            Self::Postgres { cluster, name } => {
                let (server, _) = cluster.url.rsplit_once('/').unwrap_or((&cluster.url, ""));
                format!("{server}/{name}")
            }
            Self::Shared(url) => url.clone(),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Self::Postgres { cluster, name } = self
            && let Err(error) = cluster.execute(&format!("DROP DATABASE {name} WITH (FORCE)"))
        {
            eprintln!("the database {name} is left over: {error}");
        }
    }
}

/// Settings of PostgreSQL's client: a bound on connecting, and transactions that write even where the default forbids it.
pub(crate) const CLIENT_SETTINGS: [(&str, &str); 2] =
    [("PGCONNECT_TIMEOUT", "10"), ("PGOPTIONS", "-c default_transaction_read_only=off")];

impl Cluster {
    /// What the server calls itself, as in `PostgreSQL 17.2`.
    pub(crate) fn version(&self) -> Outcome<String> {
        Ok(format!("PostgreSQL {}", self.execute("SHOW server_version")?.split(' ').next().unwrap_or_default().trim()))
    }

    /// Executes statements, and returns the rows that they return, a line each.
    pub(crate) fn execute(&self, statement: &str) -> Outcome<String> {
        let mut psql = Command::new(&self.psql);
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--command", statement, &self.url]);
        let output = psql.stdin(Stdio::null()).envs(CLIENT_SETTINGS).output();
        let output = output.map_err(|error| format!("{}: {error}", self.psql.display()))?;
        if !output.status.success() {
            return Err(format!("{statement}: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_of_a_cluster_is_named_in_the_place_of_the_first() {
        let cluster = Cluster { url: "postgres://user:secret@127.0.0.1:5433/postgres".to_owned(), psql: "true".into() };
        let database = Database::Postgres { cluster, name: "other".to_owned() };
        assert_eq!(database.url(), "postgres://user:secret@127.0.0.1:5433/other");
    }

    #[test]
    fn a_file_goes_with_its_handle() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::sqlite(folder.path()).unwrap();
        let Some(file) = database.url().strip_prefix("sqlite://").map(PathBuf::from) else { panic!("no file") };
        std::fs::write(&file, "").unwrap();
        drop(database);
        assert!(!file.exists());
    }
}
