//! A chat in the terminal: each line is sent as a message, and what happens in the chat is printed.
//!
//! ```text
//! PARLOR_API_KEY=your-tenant-api-key cargo run --release -p parlor-examples --example live_chat -- ada
//! PARLOR_API_KEY=your-tenant-api-key cargo run --release -p parlor-examples --example live_chat -- grace CHAT_ID
//! ```
//!
//! The first argument is the user, the second the chat, which the first of two terminals creates and prints. `/cancel`
//! stops an assistant's answer; `/quit`, or the end of the input, ends the program.
//!
//! The server is expected at `http://localhost:8000`, or where `PARLOR_URL` says.

use std::env;
use std::error::Error;
use std::future::{IntoFuture, poll_fn};
use std::io::{self, Write};
use std::task::Poll;
use std::thread;

use parlor_sdk::uuid::Uuid;
use parlor_sdk::{Client, Event, Gap, Message, NewChat, OutgoingMessage, Receipt};
use tokio::sync::mpsc;

/// A message on its way.
type Sending = <OutgoingMessage as IntoFuture>::IntoFuture;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("PARLOR_URL").unwrap_or_else(|_| "http://localhost:8000".to_owned());
    let key = env::var("PARLOR_API_KEY").map_err(|_| "set PARLOR_API_KEY to your tenant's API key")?;
    let client = Client::new(url, key)?;
    let user = env::args().nth(1).unwrap_or_else(|| "user123".to_owned());
    let chat_id = match env::args().nth(2) {
        Some(id) => id.parse().map_err(|_| format!("{id} is no chat's id"))?,
        None => client.create_chat(NewChat::new(&user).title("Live chat")).await?.id,
    };
    println!("chat {chat_id}");

    // From the first message on: the whole conversation is shown before it goes on.
    let (sender, mut events) = client.connect(chat_id, user).after_seq(0).await?.split();
    let mut lines = lines();
    let mut sending = Vec::new();
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) => show(&client, chat_id, event?).await?,
                None => break,
            },
            line = lines.recv() => match line.as_deref() {
                None | Some("/quit") => break,
                Some("") => sender.typing(),
                Some("/cancel") => {
                    if let Err(error) = sender.cancel().await {
                        eprintln!("  (not cancelled: {error})");
                    }
                }
                // Not awaited here: events are to be shown while it is under way.
                Some(line) => sending.push(sender.send(line).into_future()),
            },
            sent = next_sent(&mut sending) => report(sent),
        }
    }
    while !sending.is_empty() {
        report(next_sent(&mut sending).await);
    }
    sender.close().await;
    // What has come in the meantime.
    while let Some(event) = events.next().await {
        show(&client, chat_id, event?).await?;
    }
    println!("done");
    Ok(())
}

/// What the first message that has an outcome came to; it waits for ever when none is on its way. All are polled in the
/// order of the lines, so in this order they are sent. Tasks of their own would begin in any.
async fn next_sent(sending: &mut Vec<Sending>) -> Result<Receipt, parlor_sdk::Error> {
    poll_fn(|context| {
        for at in 0..sending.len() {
            if let Poll::Ready(sent) = sending[at].as_mut().poll(context) {
                drop(sending.remove(at));
                return Poll::Ready(sent);
            }
        }
        Poll::Pending
    })
    .await
}

fn report(sent: Result<Receipt, parlor_sdk::Error>) {
    match sent {
        Ok(Receipt { seq, .. }) => println!("  (stored as {seq})"),
        Err(error) => eprintln!("  (not stored: {error})"),
    }
}

async fn show(client: &Client, chat_id: Uuid, event: Event) -> Result<(), Box<dyn Error>> {
    match event {
        Event::Connected(connected) => println!("* connected, {} messages so far", connected.last_seq),
        Event::Disconnected(lost) => println!("* offline, next attempt in {:?}: {}", lost.retry_in, lost.detail),
        Event::Gap(gap) => backfill(client, chat_id, gap).await?,
        Event::MessageCreated(created) => print(&created.message),
        Event::MessageStreamStarted(_) => println!("the assistant is answering:"),
        Event::MessageStreamToken(token) => {
            print!("{}", token.token);
            io::stdout().flush()?;
        }
        Event::MessageStreamEnded(ended) => println!(" ({})", ended.finish_reason),
        Event::UserTyping(typing) => println!("* {} is typing", typing.user_id),
        Event::Error(error) => println!("* {}: {}", error.code, error.message),
        // The receipt of the sender says it all; and what a newer server has to say is not understood here.
        _ => {}
    }
    Ok(())
}

/// Reads what the stream does not show.
async fn backfill(client: &Client, chat_id: Uuid, gap: Gap) -> Result<(), parlor_sdk::Error> {
    let mut missed = client.list_messages(chat_id).after_seq(gap.after_seq).items();
    while let Some(message) = missed.next().await.transpose()?.filter(|message| message.seq < gap.next_seq) {
        print(&message);
    }
    Ok(())
}

fn print(message: &Message) {
    let sender = message.sender_id.as_deref().unwrap_or(message.sender_role.as_str());
    println!("{} {sender}: {}", message.seq, message.content);
}

/// The lines of the input. Reading blocks, so a thread does it; it ends with the program.
fn lines() -> mpsc::Receiver<String> {
    let (lines, received) = mpsc::channel(1);
    thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            if lines.blocking_send(line.trim_end().to_owned()).is_err() {
                break;
            }
        }
    });
    received
}
