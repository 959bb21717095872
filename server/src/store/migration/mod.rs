//! How the tables came to be: one file a step, applied in order, never edited once released.

mod m0001_create_chat;
mod m0002_send_message;
mod m0003_create_ticket;
mod m0004_write_probe;
mod m0005_order_by_activity;
mod m0006_scope_client_message_id;
#[cfg(test)]
mod tests;

use sea_orm::{ConnectionTrait as _, DbBackend, DbErr};
use sea_orm_migration::{MigrationTrait, MigratorTrait, SchemaManager};

/// All steps.
pub(super) struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_create_chat::Migration),
            Box::new(m0002_send_message::Migration),
            Box::new(m0003_create_ticket::Migration),
            Box::new(m0004_write_probe::Migration),
            Box::new(m0005_order_by_activity::Migration),
            Box::new(m0006_scope_client_message_id::Migration),
        ]
    }
}

/// Keeps the servers that run on a PostgreSQL database meanwhile from writing until the steps are committed. They lock chats
/// before anything else that a step locks: so the step waits for them here, and never for a server that waits for the step.
async fn lock_chats(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    if manager.get_database_backend() == DbBackend::Postgres {
        manager.get_connection().execute_unprepared("LOCK TABLE chats IN EXCLUSIVE MODE").await?;
    }
    Ok(())
}
