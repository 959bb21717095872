//! How the tables came to be: one file a step, applied in order, never edited once released.

mod m0001_create_chat;
mod m0002_send_message;
mod m0003_create_ticket;
mod m0004_write_probe;

use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// All steps.
pub(super) struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_create_chat::Migration),
            Box::new(m0002_send_message::Migration),
            Box::new(m0003_create_ticket::Migration),
            Box::new(m0004_write_probe::Migration),
        ]
    }
}
