//! A first chat in a minute.
//!
//! ```text
//! PARLOR_API_KEY=your-tenant-api-key cargo run --release -p parlor-examples --example quickstart
//! ```
//!
//! The server is expected at `http://localhost:8000`, or where `PARLOR_URL` says.

use std::env;
use std::error::Error;

use parlor_sdk::{Client, NewChat};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("PARLOR_URL").unwrap_or_else(|_| "http://localhost:8000".to_owned());
    let key = env::var("PARLOR_API_KEY").map_err(|_| "set PARLOR_API_KEY to your tenant's API key")?;
    let client = Client::new(url, key)?;

    let chat = client
        .create_chat(
            NewChat::new("user123")
                .title("Support Session")
                .metadata(json!({"department": "technical", "priority": "high"})),
        )
        .await?;

    println!("Chat created with ID: {}", chat.id);
    println!("{}", serde_json::to_string_pretty(&chat)?);
    Ok(())
}
