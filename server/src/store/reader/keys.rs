//! API keys by their hashes.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait as _, FromQueryResult as _};

use super::Source;
use crate::{
    base::{error::Result, secret::SecretHash},
    domain::KeyRecord,
    store::{
        connection::Database,
        entity::api_key,
        failure::fault,
        keys::key_record,
        rows::{Column, Rows, columns},
    },
};

/// The database, as keys are asked of it. Callers without a valid key may send any number of different ones: a hundred
/// thousand of them cost some hundreds of queries.
pub(in crate::store) struct KeySource(Database);

impl KeySource {
    pub(in crate::store) fn new(database: Database) -> Self {
        Self(database)
    }
}

impl Source for KeySource {
    type Key = SecretHash;
    type Value = KeyRecord;

    async fn read(&mut self, keys: &[SecretHash]) -> Result<Vec<Result<Option<KeyRecord>>>> {
        let hashes = keys.iter().map(|hash| hash.as_bytes().to_vec()).collect();
        let select = Rows::new(vec![("hash", Column::Bytes(hashes))]).statement(self.0.backend(), |rows| {
            let columns = columns::<api_key::Entity>("k");
            // `CROSS`, because SQLite then looks up each hash by the index.
            format!("SELECT {columns} FROM {rows} CROSS JOIN api_keys k WHERE k.hash = r.hash")
        });
        let rows = self.0.query_all_raw(select).await.map_err(fault)?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in rows {
            let row = api_key::Model::from_query_result(&row, "").map_err(fault)?;
            found.insert(row.hash.clone(), row);
        }
        let record = |hash: &SecretHash| {
            // How far the index got when it compared says nothing about a key, since it compared hashes. The comparison
            // that decides takes the same time for every key.
            let row = found.get(hash.as_bytes().as_slice()).filter(|row| hash.matches(&row.hash));
            row.cloned().map(key_record).transpose()
        };
        Ok(keys.iter().map(record).collect())
    }
}
