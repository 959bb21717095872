//! `parlor key`.

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use clap::Subcommand;
use uuid::Uuid;

use super::{Database, Failure, print_table};
use crate::{config::Limits, domain::KeyRecord};

#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Issue an API key and print it, this once, on standard output.
    Create {
        /// The tenant's name.
        #[arg(long, default_value = crate::service::Tenants::DEFAULT)]
        tenant: String,
        /// What the key is for, to tell it from others.
        #[arg(long, default_value = "")]
        name: String,
        /// After how long it stops working, as in `30d` or `12h`; never, if not given.
        #[arg(long, value_parser = parse_lifetime)]
        expires_in: Option<Duration>,
        #[command(flatten)]
        database: Database,
    },
    /// List keys, oldest first: everything but the keys themselves.
    List {
        /// Only those of the tenant of this name.
        #[arg(long)]
        tenant: Option<String>,
        #[command(flatten)]
        database: Database,
    },
    /// Revoke a key for good. Running servers refuse it within seconds.
    Revoke {
        /// The key's id, from `parlor key list`.
        id: Uuid,
        #[command(flatten)]
        database: Database,
    },
}

impl Key {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create { tenant, name, expires_in, database } => {
                let (store, tenants) = database.tenants().await?;
                let issued = tenants.create_key(&tenant, &name, expires_in).await?;
                println!("{}", issued.key.reveal());
                eprintln!("created the key {} of the tenant {tenant:?}; it is shown this once", issued.record.id);
                store.close().await;
            }
            Self::List { tenant, database } => {
                let (store, tenants) = database.tenants().await?;
                let names = tenants.list_tenants().await?;
                let rows = tenants.list_keys(tenant.as_deref()).await?.into_iter().map(|key| {
                    let tenant = names.iter().find(|tenant| tenant.id == key.tenant_id);
                    let tenant = tenant.map_or_else(String::new, |tenant| tenant.name.clone());
                    let state = state(&key, Utc::now());
                    [key.id.to_string(), tenant, key.name, format!("{}…", key.hint), time(key.created_at), state]
                });
                print_table(["ID", "TENANT", "NAME", "KEY", "CREATED", "STATE"], rows);
                store.close().await;
            }
            Self::Revoke { id, database } => {
                let (store, tenants) = database.tenants().await?;
                tenants.revoke_key(id).await?;
                let seconds = Limits::default().key_cache.as_secs();
                eprintln!("revoked {id}; running servers refuse it within {seconds} s");
                store.close().await;
            }
        }
        Ok(())
    }
}

fn parse_lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    Duration::from_std(lifetime).map_err(|error| error.to_string())
}

fn state(key: &KeyRecord, now: DateTime<Utc>) -> String {
    match (key.revoked_at, key.expires_at) {
        (Some(at), _) => format!("revoked {}", time(at)),
        (None, Some(at)) if at <= now => format!("expired {}", time(at)),
        (None, Some(at)) => format!("until {}", time(at)),
        (None, None) => "active".to_owned(),
    }
}

fn time(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Secs, true)
}
