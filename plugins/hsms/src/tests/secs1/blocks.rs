//! Blocks and messages as bytes, without a line.

use super::*;
use crate::secs1::block::{checksum, length};
use crate::secs1::{Assembly, Got};
use proptest::prelude::*;

const T4: Duration = Duration::from_secs(45);

fn assembly() -> Assembly {
    Assembly::new(T4, 1000, 2)
}

fn part(number: u16, end: bool, system: u32) -> BlockHeader {
    BlockHeader::new(data(11, true, system), true, number, end)
}

fn take(assembly: &mut Assembly, block: BlockHeader, text: &'static [u8]) -> (Got, Option<String>) {
    let taken = assembly.take(block, Bytes::from_static(text), Duration::ZERO);
    (taken.got, taken.dropped.map(|(_, why)| why))
}

#[test]
fn a_block_is_its_length_its_header_its_text_and_a_checksum() {
    // S1F1 W to device 1, the last and only block, system bytes 1: the example that everybody has.
    let header = BlockHeader::only(Header::data(1, 1, 1, true, 1), false);
    let bytes = [10, 0, 1, 0x81, 1, 0x80, 1, 0, 0, 0, 1, 0x01, 0x05];
    assert_eq!(header.write(b"")[..], bytes);
    assert_eq!(read(Bytes::copy_from_slice(&bytes[1..])), Ok((header, Bytes::new())));
    let header =
        BlockHeader::new(Header::data(0x7fff, 127, 255, true, u32::MAX), true, 0x7fff, true);
    assert_eq!(header.bytes(), [0xff; 10]);
    let block = header.write(&[0xff; 300]);
    assert_eq!((block.len(), block[0]), (257, 254));
    assert_eq!(checksum(&[0xff; 254]), 64_770);
    assert_eq!(block[255..], 64_770_u16.to_be_bytes());
}

#[test]
fn a_length_is_from_10_to_254() {
    let allowed = (0..=255).filter(|byte| length(*byte).is_some());
    assert!(allowed.eq(10..=254));
}

#[test]
fn a_block_with_any_byte_changed_is_none() {
    let block = BlockHeader::only(data(1, true, 7), true).write(b"\x41\x02hi");
    for at in 1..block.len() {
        let mut changed = block.to_vec();
        changed[at] ^= 0x20;
        assert!(read(Bytes::from(changed).slice(1..)).unwrap_err().contains("checksum"), "{at}");
    }
    for short in 0..12 {
        assert!(read(Bytes::from(vec![0; short])).is_err(), "{short}");
    }
}

#[test]
fn a_message_may_have_one_block_numbered_0_or_1() {
    let mut assembly = assembly();
    for number in [0, 1] {
        let whole = Got::Whole(data(11, true, 5), Bytes::from_static(b"a"));
        assert_eq!(take(&mut assembly, part(number, true, 5), b"a"), (whole, None));
    }
}

#[test]
fn blocks_of_two_messages_may_come_by_turns() {
    let mut assembly = assembly();
    for system in [1, 2] {
        let got = take(&mut assembly, part(1, false, system), b"one");
        assert_eq!(got, (Got::Part(data(11, true, system)), None));
    }
    assert_eq!(assembly.bytes(), 6);
    let full = take(&mut assembly, part(1, false, 3), b"one");
    assert!(full.1.unwrap().contains("max_open_messages"));
    for system in [1, 2] {
        let whole = Got::Whole(data(11, true, system), Bytes::from_static(b"onetwo"));
        assert_eq!(take(&mut assembly, part(2, true, system), b"two"), (whole, None));
    }
    assert_eq!((assembly.bytes(), assembly.deadline()), (0, None));
}

#[test]
fn a_block_that_comes_twice_counts_once() {
    let mut assembly = assembly();
    take(&mut assembly, part(1, false, 1), b"one");
    assert_eq!(take(&mut assembly, part(1, false, 1), b"one"), (Got::Nothing, None));
    let whole = Got::Whole(data(11, true, 1), Bytes::from_static(b"onetwo"));
    assert_eq!(take(&mut assembly, part(2, true, 1), b"two"), (whole, None));
    assert_eq!(take(&mut assembly, part(2, true, 1), b"two"), (Got::Nothing, None));
}

#[test]
fn a_message_with_a_block_missing_or_out_of_order_is_dropped() {
    let mut assembly = assembly();
    take(&mut assembly, part(1, false, 1), b"one");
    let (got, why) = take(&mut assembly, part(3, true, 1), b"three");
    assert_eq!(got, Got::Nothing);
    assert!(why.unwrap().contains("block 3 comes where block 2 of S6F11 W was to come"));
    let (_, why) = take(&mut assembly, part(2, true, 1), b"two");
    assert!(why.unwrap().contains("none before it"));
    take(&mut assembly, part(1, false, 1), b"one");
    let (got, why) = take(&mut assembly, part(1, true, 1), b"again");
    assert_eq!(got, Got::Whole(data(11, true, 1), Bytes::from_static(b"again")));
    assert!(why.unwrap().contains("begins again"));
}

#[test]
fn a_message_is_no_longer_than_it_may_be() {
    let mut assembly = Assembly::new(T4, 5, 2);
    take(&mut assembly, part(1, false, 1), b"one");
    assert!(take(&mut assembly, part(2, true, 1), b"two").1.unwrap().contains("max_message"));
    assert!(take(&mut assembly, part(1, true, 2), b"longer").1.unwrap().contains("max_message"));
    assert_eq!((assembly.bytes(), assembly.deadline()), (0, None));
}

#[test]
fn each_block_gives_the_next_one_t4() {
    let mut assembly = assembly();
    for number in 1..=3 {
        let now = (T4 - Duration::from_secs(1)) * u32::from(number);
        assert_eq!(assembly.expired(now), None);
        assembly.take(part(number, false, 1), Bytes::new(), now);
        assert_eq!(assembly.deadline(), Some(now + T4));
    }
    assert_eq!(assembly.expired(T4 * 5), Some((data(11, true, 1), 4)));
    assert_eq!(assembly.expired(T4 * 5), None);
}

proptest! {
    #[test]
    fn every_header_is_the_same_again(bytes: [u8; 10]) {
        prop_assert_eq!(BlockHeader::of(bytes).bytes(), bytes);
    }

    #[test]
    fn blocks_in_any_order_need_no_more_room_than_they_may(
        blocks in prop::collection::vec((any::<[u8; 3]>(), 0..400_usize), 0..60)
    ) {
        let mut assembly = Assembly::new(T4, 600, 3);
        for (number, ([system, number_, flags], length)) in blocks.into_iter().enumerate() {
            let header = data(11 + (flags & 1), flags & 2 != 0, u32::from(system % 5));
            let block = BlockHeader::new(header, true, u16::from(number_ % 4), flags & 4 != 0);
            let now = Duration::from_secs(number as u64);
            assembly.take(block, vec![0; length].into(), now);
            prop_assert!(assembly.bytes() <= 3 * 600);
        }
        while assembly.expired(T4 * 1000).is_some() {}
        prop_assert_eq!(assembly.bytes(), 0);
    }
}
