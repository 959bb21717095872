use super::*;

const BOUNDS: MessageBounds = MessageBounds { bytes: 100_000, skipped: 200_000 };
const MASK: [u8; 4] = [1, 2, 3, 4];

/// A client's frame.
fn frame(is_last: bool, opcode: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![u8::from(is_last) << 7 | opcode];
    match content.len() {
        short @ 0..126 => bytes.push(0x80 | u8::try_from(short).unwrap()),
        long @ 126..65_536 => {
            bytes.push(0xfe);
            bytes.extend(u16::try_from(long).unwrap().to_be_bytes());
        }
        longer => {
            bytes.push(0xff);
            bytes.extend((longer as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(content.iter().enumerate().map(|(place, byte)| byte ^ MASK[place % 4]));
    bytes
}

fn filter(budget: usize) -> FrameFilter {
    FrameFilter::new(BOUNDS, MessageBudget::new(budget))
}

/// Feeds `input` in steps; returns what is handed on, and what was skipped.
fn feed(filter: &mut FrameFilter, input: &[u8], step: usize) -> (Vec<u8>, Vec<SkippedMessage>) {
    let (mut output, mut skipped) = (Vec::new(), Vec::new());
    for mut chunk in input.chunks(step) {
        while !chunk.is_empty() && filter.violation().is_none() {
            let taken = filter.take(chunk, &mut |bytes| output.extend_from_slice(bytes));
            skipped.extend(filter.take_skipped());
            chunk = &chunk[taken..];
        }
    }
    (output, skipped)
}

/// The frames of a stream: whether each is the last of its message, its opcode and its content, unmasked.
fn frames(mut bytes: &[u8]) -> Vec<(bool, u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let size = (2..=MAX_HEAD).find(|size| Head::parse(&bytes[..*size]).is_some()).unwrap();
        let head = Head::parse(&bytes[..size]).unwrap().unwrap();
        let (content, rest) = bytes[size..].split_at(usize::try_from(head.length).unwrap());
        let content = content.iter().enumerate().map(|(place, byte)| byte ^ head.mask[place % 4]).collect();
        frames.push((head.is_last, head.opcode, content));
        bytes = rest;
    }
    frames
}

fn too_large(name: Option<&str>) -> SkippedMessage {
    let client_message_id = name.map(|name| ClientMessageId::new(name.to_owned()).unwrap());
    SkippedMessage { reason: SkipReason::TooLarge, client_message_id }
}

#[test]
fn short_messages_and_control_frames_pass_unchanged_however_they_arrive() {
    let stream = [
        frame(true, TEXT, b"{}"),
        frame(true, 9, b"ping"),
        frame(true, BINARY, &[7; 300]),
        frame(true, TEXT, b""),
        frame(false, TEXT, "é".as_bytes()),
        frame(true, 10, b""),
        frame(false, 0, b""),
        frame(true, 0, b"x"),
        frame(true, CLOSE, &[3, 232]),
    ]
    .concat();
    for step in [1, 2, 3, 7, 1_000] {
        let (output, skipped) = feed(&mut filter(0), &stream, step);
        assert_eq!(output, stream, "by {step}");
        assert_eq!(skipped, [], "by {step}");
    }
}

#[test]
fn a_long_frame_is_handed_on_in_pieces_that_make_the_same_message() {
    let text: Vec<u8> = (0_u8..=255).cycle().take(BOUNDS.bytes).collect();
    for length in [PIECE, PIECE + 1, 2 * PIECE, BOUNDS.bytes] {
        for step in [1, 4_096, 1_000_000] {
            let (output, skipped) = feed(&mut filter(BOUNDS.bytes), &frame(true, TEXT, &text[..length]), step);
            let frames = frames(&output);
            assert!(frames.iter().all(|(_, _, content)| content.len() <= PIECE), "{length} by {step}");
            assert_eq!(frames[0].1, TEXT);
            assert!(frames[1..].iter().all(|(_, opcode, _)| *opcode == CONTINUATION));
            let last: Vec<bool> = frames.iter().map(|(is_last, _, _)| *is_last).collect();
            assert_eq!(last.iter().filter(|is_last| **is_last).count(), 1);
            assert_eq!(last.last(), Some(&true));
            let whole: Vec<u8> = frames.into_iter().flat_map(|(_, _, content)| content).collect();
            assert!(whole == text[..length] && skipped.is_empty(), "{length} by {step}");
        }
    }
}

#[test]
fn a_message_that_is_too_large_is_skipped_and_named_and_what_is_around_it_passes() {
    let (before, after) = (frame(true, TEXT, b"before"), frame(true, TEXT, b"after"));
    let large = format!(r#"{{"content":"{}","client_message_id":"m1"}}"#, "x".repeat(BOUNDS.bytes));
    let stream = [before.clone(), frame(true, TEXT, large.as_bytes()), after.clone()].concat();
    for step in [1, 4_096, 1_000_000] {
        let mut filter = filter(0);
        let (output, skipped) = feed(&mut filter, &stream, step);
        assert_eq!(output, [before.clone(), after.clone()].concat());
        assert_eq!(skipped, [too_large(Some("m1"))]);
        assert!(filter.returned() && filter.returned());
    }
}

#[test]
fn a_message_whose_fragments_are_too_large_together_is_cut_and_skipped() {
    for character in ["x", "é", "日", "\u{10ffff}", "🦀"] {
        let text = format!(r#"{{"content":"{}","client_message_id":"m1"}}"#, character.repeat(BOUNDS.bytes + 30_000));
        let text = &text.as_bytes()[..BOUNDS.bytes + 30_000];
        for cut in 49_990..50_000 {
            let (first, rest) = text.split_at(cut);
            let (second, third) = rest.split_at(51_000);
            let stream = [
                frame(true, TEXT, b"before"),
                frame(false, TEXT, first),
                frame(true, 9, b""),
                frame(false, 0, second),
                frame(true, 9, b""),
                frame(true, 0, third),
                frame(true, TEXT, b"after"),
            ];
            let mut filter = filter(BOUNDS.bytes);
            let (output, skipped) = feed(&mut filter, &stream.concat(), 4_096);
            assert_eq!(skipped, [too_large(None)]);
            let data: Vec<_> = frames(&output).into_iter().filter(|(_, opcode, _)| *opcode < CLOSE).collect();
            assert_eq!(data.iter().filter(|(is_last, _, _)| *is_last).count(), 3);
            let content = data[1..data.len() - 1].iter().flat_map(|(_, _, content)| content.clone());
            assert!(String::from_utf8(content.collect()).is_ok(), "{character} cut at {cut}");
            assert!(filter.returned() && !filter.returned() && filter.returned());
        }
    }
}

#[test]
fn a_message_without_room_is_skipped_until_there_is_some() {
    let budget = MessageBudget::new(50_000);
    let mut connections = [(); 3].map(|()| FrameFilter::new(BOUNDS, budget.clone()));
    let large = frame(true, TEXT, &vec![b'x'; 30_000]);
    let [first, second, third] = &mut connections;
    feed(first, &large[..10_000], 4_096);
    let (output, skipped) = feed(second, &large, 4_096);
    assert_eq!((output.len(), skipped[0].reason), (0, SkipReason::NoRoom));
    assert_eq!(feed(second, &frame(true, TEXT, &vec![b'x'; PIECE]), 4_096).1, [], "a short one needs none");
    feed(first, &large[10_000..], 4_096);
    assert_eq!(feed(third, &large, 4_096).1.len(), 1, "the first has not been returned yet");
    assert!(first.returned());
    assert_eq!(feed(third, &large, 4_096).1, []);
    drop(connections);
    assert!(MessagePermit::empty(&budget).raise(50_000), "all is given back");
}

#[test]
fn what_breaks_the_protocol_is_not_handed_on() {
    let whole = |bytes: &[u8]| bytes.to_vec();
    for (name, bytes, close) in [
        ("reserved bits", whole(&[0xc1, 0x80]), Close::ProtocolError),
        ("a reserved opcode", whole(&[0x83, 0x80]), Close::ProtocolError),
        ("no mask", whole(&[0x81, 0x05]), Close::ProtocolError),
        ("a long ping", whole(&[0x89, 0xfe]), Close::ProtocolError),
        ("a ping in fragments", whole(&[0x09, 0x80]), Close::ProtocolError),
        ("a continuation of nothing", frame(true, 0, b""), Close::ProtocolError),
        ("a message in another", [frame(false, TEXT, b""), frame(true, TEXT, b"")].concat(), Close::ProtocolError),
        ("too large a binary message", frame(true, BINARY, &vec![0; 100_001])[..14].to_vec(), Close::UnsupportedData),
        ("too large to be skipped", frame(true, TEXT, &vec![0; 200_001])[..14].to_vec(), Close::TooBig),
    ] {
        let mut filter = filter(BOUNDS.bytes);
        let good = frame(true, TEXT, b"good");
        let (output, _) = feed(&mut filter, &[good.clone(), bytes.clone()].concat(), 4_096);
        assert_eq!(filter.violation(), Some(Violation(close)), "{name}");
        assert!(output.starts_with(&good) && output.len() <= good.len() + 6, "{name}");
    }
    let mut filter = filter(BOUNDS.bytes);
    let endless = [frame(false, TEXT, &vec![0; 100_001]), frame(false, 0, b"").repeat(20_000)].concat();
    feed(&mut filter, &endless, 4_096);
    assert_eq!(filter.violation(), Some(Violation(Close::TooBig)), "empty fragments without end");
}
