use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::{base::error::Cause, domain::Content, realtime::inbox::Delivery};

const ME: ConnectionId = ConnectionId(7);
const BOUNDS: Bounds = Bounds {
    ping: Duration::from_secs(25),
    idle: Duration::from_mins(1),
    in_flight: 2,
    burst: 3,
    refill: Duration::from_secs(1),
};

/// A session, its time, and what it has said.
struct Play {
    session: Session,
    now: Instant,
}

impl Play {
    /// A live session that has seen `delivered`.
    fn live(delivered: i64) -> Self {
        let mut play = Self::replaying(delivered);
        play.tell(Input::Joined);
        play
    }

    fn replaying(delivered: i64) -> Self {
        let now = Instant::now();
        Self { session: Session::new(ME, UserId::stored("ann".into()), delivered, BOUNDS, now), now }
    }

    fn tell(&mut self, input: Input) -> Vec<String> {
        let mut effects = Vec::new();
        self.session.handle(input, self.now, DateTime::UNIX_EPOCH, &mut effects);
        effects.into_iter().map(word).collect()
    }

    fn text(&mut self, frame: &str) -> Vec<String> {
        self.tell(Input::Text(frame.into()))
    }

    fn say(&mut self, name: &str) -> Vec<String> {
        self.text(&json!({ "content": "x", "client_message_id": name }).to_string())
    }

    fn stored(&mut self, name: Option<&str>, seq: i64, replayed: bool) -> Vec<String> {
        let created = Created { resource: message(seq, name), replayed };
        self.tell(Input::Sent(name.map(client_message_id), Ok(created)))
    }

    fn later(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }
}

/// An effect in a word, an event by its type and `seq`.
fn word(effect: Effect) -> String {
    match effect {
        Effect::Send(event) => {
            let event: Value = serde_json::from_str(&event).unwrap();
            let seq = event["seq"].as_i64().or_else(|| event["message"]["seq"].as_i64());
            let name = event["event_type"].as_str().unwrap().trim_start_matches("message_").to_owned();
            seq.map_or(name.clone(), |seq| format!("{name} {seq}"))
        }
        Effect::Store(_) => "store".to_owned(),
        Effect::Typing => "typing".to_owned(),
        Effect::Cancel => "cancel".to_owned(),
        Effect::Read(after) => format!("read {after}"),
        Effect::Join(delivered) => format!("join {delivered}"),
        Effect::Leave => "leave".to_owned(),
        Effect::Ping => "ping".to_owned(),
        Effect::Close(close) => format!("close {}", close.code()),
    }
}

fn client_message_id(name: &str) -> ClientMessageId {
    ClientMessageId::new(name.to_owned()).unwrap()
}

fn message(seq: i64, name: Option<&str>) -> Message {
    Message {
        id: Uuid::nil(),
        chat_id: Uuid::nil(),
        seq,
        role: Role::User,
        sender_id: Some(UserId::stored("ann".into())),
        content: Content::new("x".to_owned()).unwrap(),
        media_type: None,
        media_url: None,
        metadata: Metadata::empty(),
        client_message_id: name.map(client_message_id),
        created_at: DateTime::UNIX_EPOCH,
    }
}

fn page(seqs: std::ops::RangeInclusive<i64>, more: bool) -> Input {
    Input::Page(Ok((seqs.map(|seq| message(seq, None)).collect(), more)))
}

/// A message from the hub: another's, or with `ME` one's own.
fn item(seq: i64, sender: Option<ConnectionId>) -> Input {
    let at = DateTime::UNIX_EPOCH;
    let acknowledgement = sender.map(|sender| (sender, encode(&MessageReceived::of(&message(seq, None)), at)));
    let event = encode(&MessageCreated::of(message(seq, None)), at);
    Input::Item(Item::Message(Arc::new(Delivery { seq, event, acknowledgement, ends_stream: false })))
}

#[test]
fn a_replay_reads_on_until_there_is_no_more_and_joins() {
    let mut play = Play::replaying(3);
    assert_eq!(word(play.session.begin(6)), "read 3");
    assert_eq!(word(play.session.begin(3)), "join 3", "nothing was missed");
    assert_eq!(play.tell(page(4..=5, true)), ["created 4", "created 5", "read 5"]);
    assert_eq!(play.tell(page(6..=6, false)), ["created 6", "join 6"]);
    assert_eq!(play.tell(Input::Behind), ["read 6"]);
    assert_eq!(play.tell(page(7..=7, false)), ["created 7", "join 7"]);
    assert!(play.tell(Input::Joined).is_empty());
    assert_eq!(play.tell(item(8, None)), ["created 8"]);
}

#[test]
fn a_message_comes_once_and_none_is_skipped() {
    let mut play = Play::live(5);
    assert!(play.tell(item(5, None)).is_empty(), "seen");
    assert_eq!(play.tell(item(6, None)), ["created 6"]);
    assert_eq!(play.tell(item(8, None)), ["leave", "read 6"], "7 is missing");
    assert!(play.tell(item(9, None)).is_empty(), "read from SQL in its turn");
    assert!(play.tell(Input::Item(Item::Passing("token".into()))).is_empty(), "what it belongs to comes first");
    assert_eq!(play.tell(page(7..=9, false)), ["created 7", "created 8", "created 9", "join 9"]);
    play.tell(Input::Joined);
    assert_eq!(play.tell(item(10, None)), ["created 10"]);
}

#[test]
fn a_session_that_goes_live_after_an_abandoned_question_is_told_once() {
    let abandoned = |delivered| {
        let Play { session, now } = Play::replaying(delivered);
        Play { session: session.with_abandoned(Some(3)), now }
    };
    let mut play = abandoned(3);
    assert_eq!(play.tell(Input::Joined), ["error"]);
    assert_eq!(play.tell(item(5, None)), ["leave", "read 3"]);
    assert_eq!(play.tell(page(4..=5, false)), ["created 4", "created 5", "join 5"]);
    assert!(play.tell(Input::Joined).is_empty());

    let mut play = abandoned(1);
    assert_eq!(play.tell(page(2..=3, false)), ["created 2", "created 3", "join 3"]);
    assert_eq!(play.tell(Input::Joined), ["error"], "after the replay");

    let mut play = abandoned(1);
    assert_eq!(play.tell(page(2..=4, false)), ["created 2", "created 3", "created 4", "join 4"]);
    assert!(play.tell(Input::Joined).is_empty(), "another message has come since");
}

#[test]
fn a_hole_in_what_is_stored_ends_the_connection_rather_than_being_passed_over() {
    let mut play = Play::replaying(0);
    assert_eq!(play.tell(page(2..=2, false))[0], "close 1011");
    let unavailable = Error::Unavailable(Cause::new("the database is away"));
    assert_eq!(Play::replaying(0).tell(Input::Page(Err(unavailable))), ["close 1011"]);
    assert_eq!(Play::replaying(0).tell(Input::Page(Err(Error::ChatNotFound))), ["close 4004"]);
}

#[test]
fn an_own_message_is_acknowledged_once_in_whatever_order_its_news_arrive() {
    // By the hub, then by the writer.
    let mut play = Play::live(0);
    assert_eq!(play.say("m"), ["store"]);
    assert_eq!(play.tell(item(1, Some(ME))), ["received 1"]);
    assert!(play.stored(Some("m"), 1, false).is_empty());
    // By the writer, then by the hub; what came before it goes out before it.
    assert_eq!(play.say("n"), ["store"]);
    assert!(play.stored(Some("n"), 3, false).is_empty());
    assert_eq!(play.tell(item(2, None)), ["created 2"]);
    assert_eq!(play.tell(item(3, Some(ME))), ["received 3"]);
    // By the writer, then by a replay.
    play.tell(item(5, None));
    play.say("o");
    assert!(play.stored(Some("o"), 4, false).is_empty());
    assert_eq!(play.tell(page(4..=5, false)), ["received 4", "created 5", "join 5"]);
    // By a replay, then by the writer: a replay knows it by its name.
    play.say("p");
    let named = Input::Page(Ok((vec![message(6, Some("p"))], false)));
    assert_eq!(play.tell(named), ["received 6", "join 6"]);
    assert!(play.stored(Some("p"), 6, false).is_empty());
    // Without a name a replay cannot tell whose it is, and waits for the writer.
    play.text(r#"{"content":"x"}"#);
    assert!(play.tell(page(7..=8, false)).is_empty());
    assert_eq!(play.stored(None, 8, false), ["read 6"]);
    assert_eq!(play.tell(page(7..=8, false)), ["created 7", "received 8", "join 8"]);
    // A repetition gets the place of the first at once, unless others come before it.
    play.say("m");
    assert_eq!(play.stored(Some("m"), 1, true), ["received 1"]);
    play.say("q");
    assert!(play.stored(Some("q"), 10, true).is_empty());
    assert_eq!(play.tell(page(9..=10, false)), ["created 9", "received 10", "join 10"]);
    play.tell(Input::Joined);
    play.say("r");
    assert_eq!(play.stored(Some("r"), 11, true), ["leave", "read 10"], "the hub may never tell of it");
    assert!(play.tell(item(11, Some(ConnectionId(8)))).is_empty());
    assert_eq!(play.tell(page(11..=11, false)), ["received 11", "join 11"]);
}

#[test]
fn a_message_of_another_sender_under_the_name_of_an_own_one_is_shown_and_not_acknowledged() {
    let mut play = Play::replaying(0);
    play.say("m");
    let of_bob = Message { sender_id: Some(UserId::stored("bob".into())), ..message(1, Some("m")) };
    let of_nobody = Message { sender_id: None, role: Role::Assistant, ..message(2, Some("m")) };
    let replay = Input::Page(Ok((vec![of_bob, of_nobody, message(3, Some("m"))], false)));
    assert_eq!(play.tell(replay), ["created 1", "created 2", "received 3", "join 3"]);
    assert!(play.stored(Some("m"), 3, false).is_empty());
}

#[test]
fn an_update_of_the_chat_is_told_when_the_session_is_live() {
    let update = || Input::Item(Item::Update(r#"{"event_type":"chat_updated"}"#.into()));
    let mut play = Play::live(0);
    assert_eq!(play.tell(update()), ["chat_updated"]);
    // Taken from the inbox behind a message that is out of turn.
    play.tell(item(2, None));
    assert!(play.tell(update()).is_empty());
    assert!(play.tell(update()).is_empty());
    assert_eq!(play.tell(page(1..=2, false)), ["created 1", "created 2", "join 2"]);
    assert_eq!(play.tell(Input::Joined), ["chat_updated"]);
    play.tell(item(4, None));
    play.tell(page(3..=4, false));
    assert!(play.tell(Input::Joined).is_empty(), "once");
}

#[test]
fn anothers_message_is_shown_even_if_it_has_an_acknowledgement() {
    assert_eq!(Play::live(0).tell(item(1, Some(ConnectionId(8)))), ["created 1"]);
}

#[test]
fn no_more_is_read_than_may_be_in_flight() {
    let mut play = Play::live(0);
    play.say("m");
    assert!(play.session.may_read());
    play.say("n");
    assert!(!play.session.may_read());
    assert_eq!(play.tell(Input::Sent(Some(client_message_id("m")), Err(Error::ChatClosed))), ["error"]);
    assert!(play.session.may_read());
    assert_eq!(play.tell(Input::Sent(Some(client_message_id("n")), Err(Error::ChatNotFound))), ["close 4004"]);
}

#[test]
fn frames_that_are_no_messages_are_counted() {
    let mut play = Play::live(0);
    assert_eq!(play.text(r#"{"type":"typing"}"#), ["typing"]);
    assert_eq!(play.text(r#"{"type":"ping"}"#), ["pong"]);
    assert_eq!(play.text("nonsense"), ["error"]);
    play.later(1);
    assert_eq!(play.text(r#"{"type":"cancel"}"#), ["cancel"], "one more after a second");
    assert_eq!(play.tell(Input::Control), ["close 4009"]);
    play.later(3);
    assert!(play.tell(Input::Control).is_empty());
    assert_eq!(Play::live(0).tell(Input::Binary), ["close 1003"]);
}

#[test]
fn a_peer_that_answers_is_kept_for_a_day_and_one_that_does_not_for_a_minute() {
    let mut play = Play::live(0);
    let start = play.now;
    let mut pings = 0;
    while play.now < start + Duration::from_hours(24) {
        play.now = play.session.deadline();
        assert_eq!(play.tell(Input::Tick), ["ping"]);
        assert!(play.tell(Input::Control).is_empty(), "a pong");
        pings += 1;
    }
    assert_eq!(pings, 24 * 60 * 60 / 25);
    let silent = play.now;
    let mut told = Vec::new();
    while told.last().is_none_or(|word| word == "ping") {
        play.now = play.session.deadline();
        told.extend(play.tell(Input::Tick));
    }
    assert_eq!(told, ["ping", "ping", "close 4010"]);
    assert_eq!(play.now - silent, BOUNDS.idle);
}
