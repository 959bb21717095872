mod world;

use serde_json::{Value, json};

use self::world::*;
use super::*;
use crate::problem::Code;

#[test]
fn each_place_is_delivered_once_and_in_order() {
    let mut world = World::new(Some(3), 5);
    for event in [created(4, None), created(4, None), created(5, None), ended(Some(6)), ended(None), ended(Some(6))] {
        world.receive(&event);
    }
    assert_eq!(world.effects(), ["connected true", "created 4", "created 5", "ended Some(6)", "ended None"]);
    world.break_off();
    world.reconnect(6, true);
    assert_eq!(world.effects()[3..], ["open after Some(6)", "connected true"]);
}

#[test]
fn what_the_server_leaves_out_is_asked_for_once_more() {
    let mut world = World::idle(5);
    let mut outcome = world.send("a");
    world.effects();
    world.receive(&received(7, "a"));
    assert_eq!(seq(&mut outcome), 7, "the acknowledgement holds, wherever it stands");
    assert_eq!(world.effects(), ["hang up Some(1001)", "lost Incomplete 125ms", "pause 125ms"]);
    world.reconnect(7, true);
    world.receive(&created(6, None));
    world.receive(&created(7, Some("a")));
    assert_eq!(world.effects(), ["open after Some(5)", "connected true", "created 6", "created 7"]);
}

#[test]
fn what_the_server_leaves_out_twice_is_a_gap() {
    let mut world = World::idle(5);
    world.receive(&created(7, None));
    world.effects();
    world.reconnect(7, true);
    world.receive(&created(7, None));
    world.receive(&created(8, None));
    assert_eq!(world.effects()[1..], ["connected true", "gap 5..7", "created 7", "created 8"]);
    world.receive(&created(10, None));
    assert_eq!(world.effects(), ["hang up Some(1001)", "lost Incomplete 250ms", "pause 250ms"], "another place");
}

#[test]
fn a_session_that_is_closed_asks_for_nothing_more() {
    let mut world = World::idle(5);
    let _outcome = world.send("a");
    world.machine.close(world.now);
    world.receive(&created(7, None));
    assert_eq!(world.effects(), ["write <a>", "gap 5..7", "created 7"]);
}

#[test]
fn a_server_with_fewer_messages_makes_a_gap_from_the_beginning() {
    let mut world = World::new(Some(30), 5);
    world.receive(&created(6, None));
    assert_eq!(world.effects(), ["connected false", "gap 0..6", "created 6"]);
    world.break_off();
    world.reconnect(2, false);
    assert_eq!(world.effects()[3..], ["open after Some(6)", "connected false", "gap 0..3"]);
}

#[test]
fn an_acknowledgement_is_the_outcome_and_has_its_place_in_the_stream() {
    let mut world = World::idle(7);
    let mut outcome = world.send("a");
    assert_eq!(world.effects(), ["write <a>"]);
    assert!(outcome.try_recv().is_err(), "not before the server says so");
    world.receive(&received(8, "a"));
    assert_eq!(seq(&mut outcome), 8);
    world.receive(&created(9, None));
    assert_eq!(world.effects(), ["received 8", "created 9"]);
}

#[test]
fn a_repeated_name_gets_the_old_place_which_is_not_told_again() {
    let mut world = World::idle(7);
    let (mut one, mut two) = (world.send("a"), world.send("a"));
    world.receive(&received(3, "a"));
    assert_eq!((seq(&mut one), seq(&mut two)), (3, 3));
    world.receive(&received(3, "a"));
    assert_eq!(world.effects(), ["write <a>", "write <a>"]);
}

#[test]
fn what_is_not_acknowledged_is_written_to_the_next_connection() {
    let mut world = World::idle(7);
    let mut outcomes = [world.send("a"), world.send("b")];
    world.break_off();
    let mut offline = world.send("c");
    world.effects();
    world.reconnect(9, true);
    assert_eq!(
        world.effects(),
        ["open after Some(7)", "connected true", "write <a>", "write <b>", "write <c>"],
        "in the order they were sent in"
    );
    // They had been stored. Acknowledgements come in the order of the places; those of a repeated name may come late.
    world.receive(&created(8, Some("a")));
    world.receive(&received(9, "b"));
    world.receive(&received(8, "a"));
    world.receive(&received(10, "c"));
    assert_eq!(outcomes.each_mut().map(seq), [8, 9]);
    assert_eq!(seq(&mut offline), 10);
    assert_eq!(world.effects(), ["created 8", "received 9", "received 10"]);
}

#[test]
fn a_message_of_another_sender_under_the_same_name_acknowledges_nothing() {
    let mut world = World::idle(7);
    let mut outcome = world.send("a");
    for (seq, sender) in [(8, json!("another")), (9, Value::Null)] {
        let mut event = created(seq, Some("a"));
        event["message"]["sender_id"] = sender;
        world.receive(&event);
        assert!(outcome.try_recv().is_err(), "that was not this session's message");
    }
    world.receive(&received(10, "a"));
    assert_eq!(seq(&mut outcome), 10);
    assert_eq!(world.effects(), ["write <a>", "created 8", "created 9", "received 10"]);
}

#[test]
fn an_abandoned_message_is_not_written_again() {
    let mut world = World::idle(0);
    drop(world.send("a"));
    let _kept = world.send("b");
    world.break_off();
    world.effects();
    world.reconnect(0, true);
    assert_eq!(world.effects()[2..], ["write <b>"]);
}

#[test]
fn a_refusal_is_the_outcome_and_no_event() {
    let mut world = World::idle(0);
    let (mut one, mut other) = (world.send("a"), world.send("b"));
    world.effects();
    world.receive(&refusal("chat_closed", false, Some("a")));
    let error = failure(&mut one);
    assert_eq!((error.kind(), error.code()), (ErrorKind::Refused, Some(&Code::ChatClosed)));
    assert!(!error.is_retryable() && !error.was_maybe_processed());
    assert!(other.try_recv().is_err());
    assert!(world.effects().is_empty());
    world.receive(&refusal("chat_closed", false, Some("unknown")));
    world.receive(&refusal("assistant_failed", true, None));
    assert_eq!(world.effects(), ["error chat_closed", "error assistant_failed"]);
}

#[test]
fn a_refusal_that_may_pass_is_met_with_a_pause_that_grows() {
    let mut world = World::idle(0);
    let mut outcome = world.send("a");
    assert_eq!(world.effects(), ["write <a>"]);
    for pause in [125, 250, 500] {
        world.receive(&refusal("unavailable", true, Some("a")));
        assert!(world.effects().is_empty());
        assert_eq!(world.reach(), MS(pause));
        assert_eq!(world.effects(), ["write <a>"]);
    }
    world.receive(&received(1, "a"));
    assert_eq!(seq(&mut outcome), 1);
}

#[test]
fn pauses_double_up_to_half_a_minute_and_begin_anew_after_three_healthy_seconds() {
    let mut world = World::idle(0);
    world.break_off();
    assert_eq!(world.effects(), ["hang up None", "lost Broken 125ms", "pause 125ms"]);
    for pause in ["250ms", "500ms", "1s", "2s", "4s", "8s", "15s", "15s"] {
        world.machine.paused();
        world.machine.open_failed(Error::connect("refused"));
        let expected = ["open after Some(0)".to_owned(), format!("lost Unreachable {pause}"), format!("pause {pause}")];
        assert_eq!(world.effects(), expected);
    }
    world.reconnect(0, true);
    world.pass(MS(2_999));
    world.break_off();
    assert_eq!(world.effects().last().unwrap(), "pause 15s", "it did not last");
    world.reconnect(0, true);
    world.pass(SECONDS(3));
    world.break_off();
    assert_eq!(world.effects().last().unwrap(), "pause 125ms");
}

#[test]
fn a_close_code_ends_the_session_or_not() {
    for code in [1000, 1002, 1003, 1007, 1009, 4000, 4001, 4004, 4007] {
        let mut world = World::idle(0);
        let mut outcome = world.send("a");
        world.effects();
        world.lose(code);
        assert_eq!(world.effects(), ["hang up None".to_owned(), format!("end: Closed None Some({code})")]);
        assert!(world.machine.is_over());
        let error = failure(&mut outcome);
        assert_eq!((error.kind(), error.close_code()), (ErrorKind::Closed, Some(code)));
        assert!(error.was_maybe_processed(), "it was written");
    }
    for code in [1001, 1005, 1011, 1012, 3000, 4008, 4009, 4010, 4099, 4999] {
        let mut world = World::idle(0);
        world.lose(code);
        assert_eq!(
            world.effects(),
            ["hang up None".to_owned(), format!("lost Closed({code}) 125ms"), "pause 125ms".to_owned()]
        );
    }
}

#[test]
fn an_event_that_is_too_large_ends_the_session() {
    let mut world = World::idle(0);
    world.machine.lost(world.now, &Loss::TooLarge(1_000));
    assert_eq!(world.effects(), ["hang up None", "end: TooLarge None None"]);
}

#[test]
fn a_refused_handshake_ends_the_session_or_not() {
    let after = |error: Error| {
        let mut world = World::idle(0);
        world.break_off();
        world.machine.paused();
        world.effects();
        world.machine.open_failed(error);
        world.effects().last().unwrap().clone()
    };
    for status in [400, 401, 403, 404, 410] {
        assert_eq!(after(refused(status, None)), format!("end: Status Some({status}) None"));
    }
    for status in [302, 408, 425, 429, 500, 501, 502, 503, 504] {
        assert_eq!(after(refused(status, None)), "pause 250ms", "{status}");
    }
    assert_eq!(after(refused(503, Some(SECONDS(7)))), "pause 7.25s");
    assert_eq!(after(refused(503, Some(Duration::MAX))), "pause 300.25s");
    for error in [Error::timeout("late"), Error::transport("cut"), Error::connect("bad").permanent()] {
        assert_eq!(after(error), "pause 250ms");
    }
    assert_eq!(after(Error::closed("at once", Some(4004))), "end: Closed None Some(4004)");
}

#[test]
fn pings_are_sent_and_silence_is_the_end_of_a_connection() {
    let mut world = World::idle(0);
    assert_eq!(world.reach(), MS(22_500));
    assert_eq!(world.effects(), ["ping"]);
    world.pass(SECONDS(1));
    world.machine.heard(world.now);
    for rest in [21_500, 22_500] {
        assert_eq!(world.reach(), MS(rest));
        assert_eq!(world.effects(), ["ping"]);
    }
    assert_eq!(world.reach(), SECONDS(16), "a minute since it was heard");
    assert_eq!(world.effects(), ["hang up None", "lost Silent 125ms", "pause 125ms"]);
    assert_eq!(world.machine.deadline(), None);
}

#[test]
fn randomness_that_is_no_number_does_no_harm() {
    let now = Instant::now();
    let mut machine = Machine::new(now, None, connected(0, false), Arc::new(|| f64::NAN));
    assert_eq!(machine.deadline(), Some(now + SECONDS(25)));
    machine.lost(now, &Loss::Broken("cut".to_owned()));
    let effects = std::iter::from_fn(|| machine.effect()).map(|effect| shown(&effect));
    assert_eq!(effects.last().unwrap(), "pause 250ms");
}

#[test]
fn a_pong_event_is_a_sign_of_life_and_nothing_else() {
    let mut world = World::idle(0);
    world.receive(&json!({"event_type": "pong", "timestamp": TIME}));
    assert!(world.effects().is_empty());
}

#[test]
fn an_application_that_takes_nothing_loses_its_connection_and_gets_it_back_when_it_has_caught_up() {
    let mut world = World::idle(0);
    let mut outcome = world.send("a");
    world.receive(&created(1, None));
    world.effects();
    world.machine.stalled(world.now);
    world.pass(SECONDS(4));
    world.machine.stalled(world.now);
    world.machine.relieved(world.now);
    world.machine.stalled(world.now);
    assert_eq!(world.reach(), SECONDS(5), "it has taken something meanwhile");
    assert_eq!(world.effects(), ["hang up Some(1001)", "lost Overflow 0ns"]);
    assert!(world.machine.waits_for_the_reader());
    world.machine.relieved(world.now);
    world.machine.opened(world.now, connected(1, true));
    assert_eq!(world.effects(), ["open after Some(1)", "connected true", "write <a>"]);
    world.receive(&received(2, "a"));
    assert_eq!(seq(&mut outcome), 2);
}

#[test]
fn closing_waits_for_acknowledgements_and_then_for_the_servers_goodbye() {
    let mut world = World::idle(0);
    let mut outcome = world.send("a");
    world.machine.close(world.now);
    assert_eq!(world.effects(), ["write <a>"]);
    world.receive(&received(1, "a"));
    assert_eq!(seq(&mut outcome), 1);
    assert_eq!(world.effects(), ["received 1", "say goodbye"]);
    world.receive(&created(2, None));
    world.lose(1000);
    assert_eq!(world.effects(), ["created 2", "end"]);
}

#[test]
fn closing_takes_five_seconds_at_most() {
    let mut world = World::idle(0);
    let mut outcome = world.send("a");
    world.effects();
    world.machine.close(world.now);
    assert_eq!(world.reach(), SECONDS(5));
    assert_eq!(world.effects(), ["hang up Some(1000)", "end"]);
    let error = failure(&mut outcome);
    assert_eq!((error.kind(), error.close_code()), (ErrorKind::Closed, None));
    assert!(error.was_maybe_processed());

    let mut world = World::idle(0);
    world.machine.close(world.now);
    assert_eq!(world.effects(), ["say goodbye"]);
    assert_eq!(world.reach(), SECONDS(5));
    assert_eq!(world.effects(), ["hang up None", "end"]);
}

#[test]
fn closing_without_a_connection_does_not_wait_for_one() {
    let mut world = World::idle(0);
    world.break_off();
    let mut outcome = world.send("a");
    world.effects();
    world.machine.close(world.now);
    assert_eq!(world.effects(), ["end"]);
    assert!(!failure(&mut outcome).was_maybe_processed(), "it was never written");
    world.machine.paused();
    assert!(world.effects().is_empty(), "and nothing begins again");
}

#[test]
fn a_connection_that_is_lost_while_closing_is_not_replaced() {
    let mut world = World::idle(0);
    let mut outcome = world.send("a");
    world.machine.close(world.now);
    world.effects();
    world.break_off();
    assert_eq!(world.effects(), ["hang up None", "end"]);
    assert!(failure(&mut outcome).was_maybe_processed());
}

#[test]
fn a_signal_is_for_now_or_never() {
    let mut world = World::idle(0);
    assert!(world.machine.signal("typing"));
    assert_eq!(world.effects(), ["write typing"]);
    world.break_off();
    world.effects();
    assert!(!world.machine.signal("typing"));
    world.reconnect(0, true);
    assert_eq!(world.effects(), ["open after Some(0)", "connected true"]);
}

#[test]
fn what_waits_for_an_answer_is_bounded_and_the_abandoned_do_not_count() {
    let mut world = World::idle(0);
    let mut outcomes: Vec<_> = (0..64).map(|number| world.send(&number.to_string())).collect();
    assert!(!world.machine.takes_messages());
    outcomes.pop();
    assert!(world.machine.takes_messages());
}
