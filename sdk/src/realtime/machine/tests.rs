mod harness;

use std::task::Waker;

use serde_json::{Value, json};

use self::harness::*;
use super::*;
use crate::problem::Code;

#[test]
fn each_seq_is_delivered_once_and_in_order() {
    let mut harness = Harness::new(Some(3), 5);
    for event in [created(4, None), created(4, None), created(5, None), ended(Some(6)), ended(None), ended(Some(6))] {
        harness.receive(&event);
    }
    assert_eq!(harness.effects(), ["connected true", "created 4", "created 5", "ended Some(6)", "ended None"]);
    harness.break_off();
    harness.reconnect(6, true);
    assert_eq!(harness.effects()[3..], ["open after Some(6)", "connected true"]);
}

#[test]
fn skipped_messages_are_requested_once_more() {
    let mut harness = Harness::idle(5);
    let mut outcome = harness.send("a");
    harness.effects();
    harness.receive(&received(7, "a"));
    assert_eq!(seq(&mut outcome), 7, "the acknowledgement counts, although it is out of order");
    assert_eq!(harness.effects(), ["disconnect Some(1001)", "lost Incomplete 125ms", "back off 125ms"]);
    harness.reconnect(7, true);
    harness.receive(&created(6, None));
    harness.receive(&created(7, Some("a")));
    assert_eq!(harness.effects(), ["open after Some(5)", "connected true", "created 6", "created 7"]);
}

#[test]
fn messages_skipped_twice_are_a_gap() {
    let mut harness = Harness::idle(5);
    harness.receive(&created(7, None));
    harness.effects();
    harness.reconnect(7, true);
    harness.receive(&created(7, None));
    harness.receive(&created(8, None));
    assert_eq!(harness.effects()[1..], ["connected true", "gap 5..7", "created 7", "created 8"]);
    harness.receive(&created(10, None));
    assert_eq!(
        harness.effects(),
        ["disconnect Some(1001)", "lost Incomplete 250ms", "back off 250ms"],
        "at another position"
    );
}

#[test]
fn a_closing_session_does_not_reconnect_for_skipped_messages() {
    let mut harness = Harness::idle(5);
    let _outcome = harness.send("a");
    harness.machine.close(harness.now);
    harness.receive(&created(7, None));
    assert_eq!(harness.effects(), ["write <a>", "gap 5..7", "created 7"]);
}

#[test]
fn a_server_with_fewer_messages_causes_a_gap_from_zero() {
    let mut harness = Harness::new(Some(30), 5);
    harness.receive(&created(6, None));
    assert_eq!(harness.effects(), ["connected false", "gap 0..6", "created 6"]);
    harness.break_off();
    harness.reconnect(2, false);
    assert_eq!(harness.effects()[3..], ["open after Some(6)", "connected false", "gap 0..3"]);
}

#[test]
fn an_acknowledgement_is_the_result_and_an_event() {
    let mut harness = Harness::idle(7);
    let mut outcome = harness.send("a");
    assert_eq!(harness.effects(), ["write <a>"]);
    assert!(outcome.try_recv().is_err(), "not acknowledged yet");
    harness.receive(&received(8, "a"));
    assert_eq!(seq(&mut outcome), 8);
    harness.receive(&created(9, None));
    assert_eq!(harness.effects(), ["received 8", "created 9"]);
}

#[test]
fn a_repeated_id_gets_the_first_seq_and_no_event() {
    let mut harness = Harness::idle(7);
    let (mut one, mut two) = (harness.send("a"), harness.send("a"));
    harness.receive(&received(3, "a"));
    assert_eq!((seq(&mut one), seq(&mut two)), (3, 3));
    harness.receive(&received(3, "a"));
    assert_eq!(harness.effects(), ["write <a>", "write <a>"]);
}

#[test]
fn unacknowledged_messages_are_written_to_the_next_connection() {
    let mut harness = Harness::idle(7);
    let mut outcomes = [harness.send("a"), harness.send("b")];
    harness.break_off();
    let mut offline = harness.send("c");
    harness.effects();
    harness.reconnect(9, true);
    assert_eq!(
        harness.effects(),
        ["open after Some(7)", "connected true", "write <a>", "write <b>", "write <c>"],
        "in the order of sending"
    );
    // They had been stored. Acknowledgements arrive in seq order; that of a repeated id may arrive late.
    harness.receive(&created(8, Some("a")));
    harness.receive(&received(9, "b"));
    harness.receive(&received(8, "a"));
    harness.receive(&received(10, "c"));
    assert_eq!(outcomes.each_mut().map(seq), [8, 9]);
    assert_eq!(seq(&mut offline), 10);
    assert_eq!(harness.effects(), ["created 8", "received 9", "received 10"]);
}

#[test]
fn a_message_in_the_stream_is_an_acknowledgement() {
    let mut harness = Harness::idle(7);
    let mut outcome = harness.send("a");
    harness.receive(&created(8, Some("a")));
    assert_eq!(seq(&mut outcome), 8);
    assert_eq!(harness.effects(), ["write <a>", "created 8"]);
}

#[test]
fn a_message_of_another_sender_with_the_same_id_acknowledges_nothing() {
    let mut harness = Harness::idle(7);
    let mut outcome = harness.send("a");
    for (seq, sender) in [(8, json!("another")), (9, Value::Null)] {
        let mut event = created(seq, Some("a"));
        event["message"]["sender_id"] = sender;
        harness.receive(&event);
        assert!(outcome.try_recv().is_err(), "the message of another sender");
    }
    harness.receive(&received(10, "a"));
    assert_eq!(seq(&mut outcome), 10);
    assert_eq!(harness.effects(), ["write <a>", "created 8", "created 9", "received 10"]);
}

#[test]
fn an_abandoned_message_is_not_written_again() {
    let mut harness = Harness::idle(0);
    drop(harness.send("a"));
    let _kept = harness.send("b");
    harness.break_off();
    harness.effects();
    harness.reconnect(0, true);
    assert_eq!(harness.effects()[2..], ["write <b>"]);
}

#[test]
fn a_permanent_rejection_is_the_result_and_not_an_event() {
    let mut harness = Harness::idle(0);
    let (mut one, mut other) = (harness.send("a"), harness.send("b"));
    harness.effects();
    harness.receive(&refusal("chat_closed", false, Some("a")));
    let error = failure(&mut one);
    assert_eq!((error.kind(), error.code()), (ErrorKind::Refused, Some(&Code::ChatClosed)));
    assert!(!error.is_retryable() && !error.was_maybe_processed());
    assert!(other.try_recv().is_err());
    assert!(harness.effects().is_empty());
    harness.receive(&refusal("chat_closed", false, Some("unknown")));
    harness.receive(&refusal("assistant_failed", true, None));
    assert_eq!(harness.effects(), ["error chat_closed", "error assistant_failed"]);
}

#[test]
fn temporary_rejections_back_off() {
    let mut harness = Harness::idle(0);
    let mut outcome = harness.send("a");
    assert_eq!(harness.effects(), ["write <a>"]);
    for pause in [125, 250, 500] {
        harness.receive(&refusal("unavailable", true, Some("a")));
        assert!(harness.effects().is_empty());
        assert_eq!(harness.reach(), MS(pause));
        assert_eq!(harness.effects(), ["write <a>"]);
    }
    harness.receive(&received(1, "a"));
    assert_eq!(seq(&mut outcome), 1);
}

#[test]
fn backoff_doubles_to_30_seconds_and_resets_after_a_stable_connection() {
    let mut harness = Harness::idle(0);
    harness.break_off();
    assert_eq!(harness.effects(), ["disconnect None", "lost Broken 125ms", "back off 125ms"]);
    for pause in ["250ms", "500ms", "1s", "2s", "4s", "8s", "15s", "15s"] {
        harness.machine.backoff_elapsed();
        harness.machine.open_failed(Error::connect("refused"));
        let expected =
            ["open after Some(0)".to_owned(), format!("lost Unreachable {pause}"), format!("back off {pause}")];
        assert_eq!(harness.effects(), expected);
    }
    harness.reconnect(0, true);
    harness.pass(MS(2_999));
    harness.break_off();
    assert_eq!(harness.effects().last().unwrap(), "back off 15s", "the connection was not stable");
    harness.reconnect(0, true);
    harness.pass(SECONDS(3));
    harness.break_off();
    assert_eq!(harness.effects().last().unwrap(), "back off 125ms");
}

#[test]
fn final_close_codes_end_the_session_and_others_do_not() {
    for code in [1000, 1002, 1003, 1007, 1009, 4000, 4001, 4004, 4007] {
        let mut harness = Harness::idle(0);
        let mut outcome = harness.send("a");
        harness.effects();
        assert!(!harness.machine.has_ended());
        harness.lose(code);
        assert_eq!(harness.effects(), ["disconnect None".to_owned(), format!("end: Closed None Some({code})")]);
        assert!(harness.machine.has_ended());
        let error = failure(&mut outcome);
        assert_eq!((error.kind(), error.close_code()), (ErrorKind::Closed, Some(code)));
        assert!(error.was_maybe_processed(), "it was written");
    }
    for code in [1001, 1005, 1011, 1012, 3000, 4008, 4009, 4010, 4099, 4999] {
        let mut harness = Harness::idle(0);
        harness.lose(code);
        assert_eq!(
            harness.effects(),
            ["disconnect None".to_owned(), format!("lost Closed({code}) 125ms"), "back off 125ms".to_owned()]
        );
    }
}

#[test]
fn an_event_that_is_too_large_ends_the_session() {
    let mut harness = Harness::idle(0);
    harness.machine.connection_lost(harness.now, &ConnectionLoss::TooLarge(1_000));
    assert_eq!(harness.effects(), ["disconnect None", "end: TooLarge None None"]);
}

#[test]
fn permanently_rejected_handshakes_end_the_session() {
    let after = |error: Error| {
        let mut harness = Harness::idle(0);
        harness.break_off();
        harness.machine.backoff_elapsed();
        harness.effects();
        harness.machine.open_failed(error);
        harness.effects().last().unwrap().clone()
    };
    for status in [400, 401, 403, 404, 410] {
        assert_eq!(after(refused(status, None)), format!("end: Status Some({status}) None"));
    }
    for status in [302, 408, 425, 429, 500, 501, 502, 503, 504] {
        assert_eq!(after(refused(status, None)), "back off 250ms", "{status}");
    }
    assert_eq!(after(refused(503, Some(SECONDS(7)))), "back off 7.25s");
    assert_eq!(after(refused(503, Some(Duration::MAX))), "back off 300.25s");
    for error in [Error::timeout("late"), Error::transport("cut"), Error::connect("bad").permanent()] {
        assert_eq!(after(error), "back off 250ms");
    }
    assert_eq!(after(Error::closed("at once", Some(4004))), "end: Closed None Some(4004)");
}

#[test]
fn pings_are_sent_and_a_silent_connection_times_out() {
    let mut harness = Harness::idle(0);
    assert_eq!(harness.reach(), MS(22_500));
    assert_eq!(harness.effects(), ["ping"]);
    harness.pass(SECONDS(1));
    harness.machine.data_received(harness.now);
    for rest in [21_500, 22_500] {
        assert_eq!(harness.reach(), MS(rest));
        assert_eq!(harness.effects(), ["ping"]);
    }
    assert_eq!(harness.reach(), SECONDS(16), "a minute after the last data");
    assert_eq!(harness.effects(), ["disconnect None", "lost Silent 125ms", "back off 125ms"]);
    assert_eq!(harness.machine.deadline(), None);
}

#[test]
fn randomness_may_be_nan() {
    let now = Instant::now();
    let mut machine = Machine::new(now, None, connected(0, false), Arc::new(|| f64::NAN));
    assert_eq!(machine.deadline(), Some(now + SECONDS(25)));
    machine.connection_lost(now, &ConnectionLoss::Broken("cut".to_owned()));
    let effects = std::iter::from_fn(|| machine.next_effect()).map(|effect| shown(&effect));
    assert_eq!(effects.last().unwrap(), "back off 250ms");
}

#[test]
fn a_pong_event_is_not_delivered_and_other_unknown_events_are() {
    let mut harness = Harness::idle(0);
    harness.receive(&json!({"event_type": "pong", "timestamp": TIME}));
    assert!(harness.effects().is_empty());
    harness.receive(&json!({"event_type": "reaction_added", "timestamp": TIME}));
    let effects = harness.effects();
    assert!(effects.len() == 1 && effects[0].contains("reaction_added"), "{effects:?}");
}

#[test]
fn a_reader_that_never_stalled_does_not_extend_the_silence_timeout() {
    let mut harness = Harness::idle(0);
    for elapsed in [22_500, 45_000] {
        harness.reach();
        assert_eq!(harness.effects(), ["ping"]);
        harness.machine.reader_caught_up(harness.now);
        assert_eq!(harness.elapsed(), MS(elapsed));
    }
    harness.reach();
    assert_eq!(harness.elapsed(), SECONDS(60));
    assert_eq!(harness.effects()[1], "lost Silent 125ms");
}

#[test]
fn a_stalled_reader_loses_its_connection_until_it_catches_up() {
    let mut harness = Harness::idle(0);
    let mut outcome = harness.send("a");
    harness.receive(&created(1, None));
    harness.effects();
    harness.machine.reader_stalled(harness.now);
    assert!(!harness.machine.is_overflowed());
    harness.pass(SECONDS(4));
    harness.machine.reader_stalled(harness.now);
    harness.machine.reader_caught_up(harness.now);
    harness.machine.reader_stalled(harness.now);
    assert_eq!(harness.reach(), SECONDS(5), "reading restarts the time limit");
    assert_eq!(harness.effects(), ["disconnect Some(1001)", "lost Overflow 0ns"]);
    assert!(harness.machine.is_overflowed());
    harness.machine.reader_caught_up(harness.now);
    harness.machine.opened(harness.now, connected(1, true));
    assert_eq!(harness.effects(), ["open after Some(1)", "connected true", "write <a>"]);
    harness.receive(&received(2, "a"));
    assert_eq!(seq(&mut outcome), 2);
}

#[test]
fn closing_waits_for_acknowledgements_and_then_for_the_close_frame() {
    let mut harness = Harness::idle(0);
    let mut outcome = harness.send("a");
    harness.machine.close(harness.now);
    assert_eq!(harness.effects(), ["write <a>"]);
    harness.receive(&received(1, "a"));
    assert_eq!(seq(&mut outcome), 1);
    assert_eq!(harness.effects(), ["received 1", "send close"]);
    harness.receive(&created(2, None));
    harness.lose(1000);
    assert_eq!(harness.effects(), ["created 2", "end"]);
}

#[test]
fn closing_takes_five_seconds_at_most() {
    let mut harness = Harness::idle(0);
    let mut outcome = harness.send("a");
    harness.effects();
    harness.machine.close(harness.now);
    assert_eq!(harness.reach(), SECONDS(5));
    assert_eq!(harness.effects(), ["disconnect Some(1000)", "end"]);
    let error = failure(&mut outcome);
    assert_eq!((error.kind(), error.close_code()), (ErrorKind::Closed, None));
    assert!(error.was_maybe_processed());

    let mut harness = Harness::idle(0);
    harness.machine.close(harness.now);
    assert_eq!(harness.effects(), ["send close"]);
    harness.machine.deadline_reached(harness.now + MS(4_999));
    assert!(harness.effects().is_empty(), "the server may still respond");
    assert_eq!(harness.reach(), SECONDS(5));
    assert_eq!(harness.effects(), ["disconnect None", "end"]);
}

#[test]
fn closing_without_a_connection_does_not_wait_for_one() {
    let mut harness = Harness::idle(0);
    harness.break_off();
    let mut outcome = harness.send("a");
    harness.effects();
    harness.machine.close(harness.now);
    assert_eq!(harness.effects(), ["end"]);
    assert!(!failure(&mut outcome).was_maybe_processed(), "it was never written");
    harness.machine.backoff_elapsed();
    assert!(harness.effects().is_empty(), "nothing restarts");
}

#[test]
fn dropping_all_handles_ends_the_session_without_waiting() {
    let mut harness = Harness::idle(0);
    let mut outcome = harness.send("a");
    harness.machine.handles_dropped();
    assert_eq!(harness.effects(), ["write <a>", "disconnect Some(1000)", "end"]);
    assert!(failure(&mut outcome).was_maybe_processed());

    let mut harness = Harness::idle(0);
    harness.break_off();
    harness.effects();
    harness.machine.handles_dropped();
    assert_eq!(harness.effects(), ["end"]);
}

#[test]
fn the_detail_of_a_disconnect_has_the_error_with_its_causes() {
    let mut harness = Harness::idle(0);
    harness.break_off();
    harness.machine.backoff_elapsed();
    harness.effects();
    harness.machine.open_failed(Error::connect("no connection").with_source("connection refused"));
    let Some(Effect::Deliver(Event::Disconnected(lost), 0)) = harness.machine.next_effect() else { panic!() };
    assert_eq!(lost.detail, "no connection: connection refused");
}

#[test]
fn a_connection_lost_while_closing_is_not_replaced() {
    let mut harness = Harness::idle(0);
    let mut outcome = harness.send("a");
    harness.machine.close(harness.now);
    harness.effects();
    harness.break_off();
    assert_eq!(harness.effects(), ["disconnect None", "end"]);
    assert!(failure(&mut outcome).was_maybe_processed());
}

#[test]
fn a_signal_is_dropped_without_a_connection() {
    let mut harness = Harness::idle(0);
    assert!(harness.machine.signal("typing"));
    assert_eq!(harness.effects(), ["write typing"]);
    harness.break_off();
    harness.effects();
    assert!(!harness.machine.signal("typing"));
    harness.reconnect(0, true);
    assert_eq!(harness.effects(), ["open after Some(0)", "connected true"]);
}

#[test]
fn pending_messages_are_bounded_and_abandoned_ones_do_not_count() {
    let mut harness = Harness::idle(0);
    let mut outcomes: Vec<_> = (0..64).map(|number| harness.send(&number.to_string())).collect();
    assert!(!harness.machine.accepts_messages());
    let context = &mut Context::from_waker(Waker::noop());
    assert!(harness.machine.poll_caller_gone(context).is_pending());
    outcomes.pop();
    assert!(harness.machine.poll_caller_gone(context).is_ready());
    assert!(harness.machine.accepts_messages());
}
