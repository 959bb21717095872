//! Labels: what makes a filter on metadata cost no more than any other list.
//!
//! A label stands for one member of a chat's metadata. It is the first 16 bytes of SHA-256 over tenant, name and value,
//! so every label has the same size, and the tenant is part of it: a label cannot be asked for without one. By the
//! primary key, label and chat, the chats of a label are found in their order.

use sea_orm::{ActiveValue::Set, ColumnTrait as _, Condition, DbErr, EntityTrait as _, QueryFilter as _};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{connection::Transaction, entity::chat_label};
use crate::domain::{Chat, Label, Metadata, TenantId};

/// The digest of one label.
pub(super) fn digest(tenant: TenantId, label: &Label) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(tenant.0.as_bytes());
    // The length keeps names and values apart.
    hash.update((label.name.len() as u64).to_be_bytes());
    hash.update(label.name.as_bytes());
    hash.update(label.value.as_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    Uuid::from_bytes(first)
}

/// The digests of all labels of a chat's metadata.
pub(super) fn of(tenant: TenantId, metadata: &Metadata) -> Vec<Uuid> {
    metadata.labels().iter().map(|label| digest(tenant, label)).collect()
}

/// Gives a chat that had the labels of `before` those of its metadata now.
pub(super) async fn replace(transaction: &Transaction, before: &Metadata, chat: &Chat) -> Result<(), DbErr> {
    let (old, new) = (of(chat.tenant_id, before), of(chat.tenant_id, &chat.metadata));
    remove(transaction, chat.id, old.iter().filter(|label| !new.contains(label)).copied()).await?;
    let added = new
        .iter()
        .filter(|label| !old.contains(label))
        .map(|label| chat_label::ActiveModel { label: Set(*label), chat_id: Set(chat.id) });
    chat_label::Entity::insert_many(added).exec_without_returning(transaction).await?;
    Ok(())
}

/// Takes `labels` off a chat.
pub(super) async fn remove(
    transaction: &Transaction,
    chat_id: Uuid,
    labels: impl Iterator<Item = Uuid>,
) -> Result<(), DbErr> {
    // Bounded: metadata of 16 KiB has at most a few thousand members, and SQLite takes 32,766 values.
    let labels: Vec<Uuid> = labels.collect();
    if labels.is_empty() {
        return Ok(());
    }
    let these =
        Condition::all().add(chat_label::Column::ChatId.eq(chat_id)).add(chat_label::Column::Label.is_in(labels));
    chat_label::Entity::delete_many().filter(these).exec(transaction).await?;
    Ok(())
}
