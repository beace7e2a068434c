//! Names of MIB modules.

use crate::mib::Names;
use crate::oid::Oid;
use proptest::prelude::*;

const MODULE: &str = r#"
-- A module as vendors write them.
LAMP-MIB DEFINITIONS ::= BEGIN
IMPORTS MODULE-IDENTITY, OBJECT-TYPE, enterprises FROM SNMPv2-SMI;
lamps MODULE-IDENTITY
    LAST-UPDATED "202601010000Z"
    DESCRIPTION "With a ::= { trap 1 } in a text"
    ::= { enterprises 424242 }
lampObjects OBJECT IDENTIFIER ::= { lamps 1 } -- comment -- 
lampTable OBJECT-TYPE SYNTAX SEQUENCE OF LampEntry ::= { lampObjects 2 }
lampEntry OBJECT-TYPE SYNTAX LampEntry INDEX { lampIndex } ::= { lampTable 1 }
LampEntry ::= SEQUENCE { lampIndex INTEGER, lampRoom OBJECT IDENTIFIER }
lampIndex OBJECT-TYPE SYNTAX INTEGER { on(1), off(2) } ::= { lampEntry 1 }
lampOther OBJECT IDENTIFIER ::= { iso org(3) dod(6) internet(1) private(4) enterprises(1) 7 }
lampLost OBJECT IDENTIFIER ::= { nowhere 1 }
lampLoop OBJECT IDENTIFIER ::= { lampPool 1 }
lampPool OBJECT IDENTIFIER ::= { lampLoop 1 }
END
"#;

#[test]
fn names_are_taken_and_shown_with_the_numbers_behind_them() {
    let names = Names::of_text(MODULE);
    let oid = |text: &str| names.oid(text).expect("a name").to_string();
    assert_eq!(oid("lampIndex.7"), "1.3.6.1.4.1.424242.1.2.1.1.7");
    assert_eq!(oid("LAMP-MIB::lampTable"), "1.3.6.1.4.1.424242.1.2");
    assert_eq!(oid("lampOther"), "1.3.6.1.4.1.7");
    assert_eq!(oid("mib-2.1"), "1.3.6.1.2.1.1");
    assert_eq!(oid(".1.3.6"), "1.3.6");
    let name = |text: &str| names.name(&Oid::parse(text).expect("numbers"));
    assert_eq!(name("1.3.6.1.4.1.424242.1.2.1.1.7").as_deref(), Some("lampIndex.7"));
    assert_eq!(name("1.3.6.1.4.1.9").as_deref(), Some("enterprises.9"));
    assert_eq!(name("2.5").as_deref(), Some("joint-iso-ccitt.5"));
}

#[test]
fn a_name_that_is_not_there_is_told_with_the_nearest() {
    let names = Names::of_text(MODULE);
    let error = names.oid("lampIndx.7").expect_err("no name");
    assert!(error.contains("did you mean \"lampIndex\"?"), "{error}");
    for text in ["lampLost", "lampLoop", "trap", "lampIndex.x", "", "lampIndex..1"] {
        names.oid(text).expect_err(text);
    }
    let error = Names::default().oid("lampIndex").expect_err("no files");
    assert!(error.contains("`mib_files`"), "{error}");
    assert_eq!(Names::default().name(&Oid::known(&[1, 3])), None);
}

proptest! {
    #[test]
    fn any_text_is_read(text in "(lamp|::=|\\{|\\}|\\(|\\)|OBJECT IDENTIFIER|OBJECT-TYPE|--|\"|[0-9]{1,3}| |\n|\\PC){0,60}") {
        let names = Names::of_text(&text);
        let _ = names.oid("lamp");
    }
}
