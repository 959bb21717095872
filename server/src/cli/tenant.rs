//! `parlor tenant`.

use chrono::SecondsFormat;
use clap::Subcommand;

use super::{Database, Failure, print_table};

#[derive(Debug, Subcommand)]
pub(super) enum Tenant {
    /// Create a tenant; it has no keys yet.
    Create {
        /// Its name among operators.
        name: String,
        #[command(flatten)]
        database: Database,
    },
    /// List all tenants, oldest first.
    List {
        #[command(flatten)]
        database: Database,
    },
}

impl Tenant {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create { name, database } => {
                let (store, tenants) = database.tenants().await?;
                let tenant = tenants.create_tenant(&name).await?;
                println!("{}", tenant.id);
                eprintln!("created the tenant {name:?}; `parlor key create --tenant {name}` gives it a key");
                store.close().await;
            }
            Self::List { database } => {
                let (store, tenants) = database.tenants().await?;
                let rows = tenants.list_tenants().await?.into_iter().map(|tenant| {
                    [tenant.id.to_string(), tenant.name, tenant.created_at.to_rfc3339_opts(SecondsFormat::Secs, true)]
                });
                print_table(["ID", "NAME", "CREATED"], rows);
                store.close().await;
            }
        }
        Ok(())
    }
}
