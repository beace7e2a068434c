//! SML.

use crate::item::Limits;
use crate::sml::{read, write};

fn again(text: &str) -> String {
    write(&read(text, Limits::default()).unwrap_or_else(|error| panic!("{text}: {error}")))
}

#[test]
fn what_the_field_writes_is_read() {
    for (text, expected) in [
        ("S1F1 W .", "S1F1 W ."),
        ("s1f1 w.", "S1F1 W ."),
        ("S1F1.", "S1F1 ."),
        ("S1F1", "S1F1 ."),
        ("'S1F1' W .", "S1F1 W ."),
        ("AreYouThere: 'S1F1' W .", "S1F1 W ."),
        ("S1F13 W <L> .", "S1F13 W <L> ."),
        (
            "S1F13 W\n<L [2]\n  <A [4] \"MDLN\"> // model\n  <A 'REV'>\n>.",
            "S1F13 W <L <A \"MDLN\"> <A \"REV\">> .",
        ),
        (
            "S2F41 W <l <a \"GO\"> <boolean T f TRUE 0x02>>",
            "S2F41 W <L <A \"GO\"> <BOOLEAN T F T 0x02>> .",
        ),
        ("S6F11 /* event */ <U4 1 2 0x10>", "S6F11 <U4 1 2 16> ."),
        ("S6F12 <B 0x00>", "S6F12 <B 0x00> ."),
        ("S6F12 <BINARY 0 255>", "S6F12 <B 0x00 0xFF> ."),
        (
            "S1F2 <A \"say \" 0x22 \"x\" 0x22 0x0D 0x0A>",
            "S1F2 <A \"say \" 0x22 \"x\" 0x22 0x0D 0x0A> .",
        ),
        ("S1F2 <A>", "S1F2 <A \"\"> ."),
        ("S1F2 <A [0..4] \"ab\">", "S1F2 <A \"ab\"> ."),
        ("S1F2 <F4 1.5 -2 1e3>", "S1F2 <F4 1.5 -2.0 1000.0> ."),
        ("S1F2 <F8 \"0x7ff8000000000001\">", "S1F2 <F8 \"0x7ff8000000000001\"> ."),
        ("S1F2 <I2 -32768 32767>", "S1F2 <I2 -32768 32767> ."),
        ("S1F2 <J 0xB1 \"x\">", "S1F2 <J 0xB1 0x78> ."),
    ] {
        assert_eq!(again(text), expected, "{text}");
        assert_eq!(again(expected), expected);
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (text, expected) in [
        ("", "expected stream and function such as S1F1"),
        ("S128F1", "expected stream and function"),
        ("S1F256", "expected stream and function"),
        ("S1F1 X", "line 1, column 6: expected `W`"),
        ("S1F1 W <L", "the `>` of the list"),
        ("S1F1 W\n <U4 1\n 'a'>", "line 3, column 2: a value of U4 stands without quotation marks"),
        ("S1F1 <U5 1>", "there is no format \"U5\"; there are: L B BOOLEAN A"),
        ("S1F1 <U1 256>", "from 0 to 255 as a value of U1, not 256"),
        ("S1F1 <A \"x>", "a text without its end"),
        ("S1F1 <A [3] \"x\">", "says it has 3 to 3 values, and has 1"),
        ("S1F1 <A [x] \"x\">", "expected a number in the brackets"),
        ("S1F1 <A \"\u{e9}\">", "beyond ASCII"),
        ("S1F1 <U4 <U4 1>>", "only L has items"),
        ("S1F1 . S1F1 .", "expected the end of the text"),
        ("S1F1 /* x", "a comment without its end"),
        ("S1F1 <F4 nan>", "expected a number"),
        ("S1F1 <>", "expected a format"),
    ] {
        let error = read(text, Limits::default()).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let deep = format!("S1F1 {}{}", "<L ".repeat(100_000), ">".repeat(100_000));
    assert!(read(&deep, Limits::default()).unwrap_err().contains("`max_depth`"));
}
