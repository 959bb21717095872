//! Tenants and their API keys: who calls, and who may.

mod authenticate;
mod key;
mod tenant;
mod tenants;

pub use authenticate::Authenticator;
pub use key::ApiKey;
pub use tenant::{IssuedKey, KeyRecord, Principal, TenantId, TenantRecord};
pub use tenants::{Bootstrap, Tenants};
