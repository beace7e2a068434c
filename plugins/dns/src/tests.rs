//! Questions, the names of addresses, and what answers what.

use crate::question::{Flags, Question, answers, reverse};

const FLAGS: Flags = Flags { recursion: true, dnssec: false, checking_disabled: false };

fn question(name: &str) -> Question {
    Question::new(name, "A", "IN", FLAGS).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn equal_names_are_equal_questions() {
    assert_eq!(question("Example.COM"), question("example.com."));
    assert_ne!(question("example.com"), question("example.org"));
}

#[test]
fn names_of_addresses_stand_backwards() {
    let name = |text: &str| reverse(text.parse().expect("an address"));
    assert_eq!(name("192.0.2.1"), "1.2.0.192.in-addr.arpa.");
    let v6 = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.";
    assert_eq!(name("2001:db8::1"), v6);
}

#[test]
fn a_question_has_its_size_and_another_id_each_time() {
    let asked = question("example.com");
    let (first, second) =
        (asked.message(1232).expect("bytes"), asked.message(1232).expect("bytes"));
    assert_eq!(first[2..], second[2..]);
    // Recursion is wanted, and the server's word whether it has checked signatures.
    assert_eq!(first[2..4], [0x01, 0x20]);
    let plain = asked.message(0).expect("bytes");
    assert_eq!((plain.len(), first.len()), (12 + 13 + 4, 12 + 13 + 4 + 11));
    assert_eq!(first[plain.len()..][3..5], 1232_u16.to_be_bytes());
}

#[test]
fn an_answer_has_the_id_and_the_question() {
    let asked = question("example.com").message(0).expect("bytes");
    let mut answer = asked.clone();
    assert!(!answers(&answer, &asked), "it is a question");
    answer[2] |= 0x80;
    assert!(answers(&answer, &asked));
    for at in [0, 1, 13, asked.len() - 3] {
        let mut other = answer.clone();
        other[at] ^= 1;
        assert!(!answers(&other, &asked), "{at}");
    }
    // The letters of a name may have another case.
    answer[13] ^= 0x20;
    assert!(answers(&answer, &asked));
    // An error may have no question, anything else must.
    let mut short = answer[..12].to_vec();
    short[4..6].fill(0);
    assert!(!answers(&short, &asked));
    short[3] |= 1;
    assert!(answers(&short, &asked));
}
