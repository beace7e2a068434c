//! COM-PORT-OPTION (RFC 2217), as bytes. No input or output happens here.

/// What a server adds to the number of what it answers.
const SERVER: u8 = 100;

const SIGNATURE: u8 = 0;
const BAUD: u8 = 1;
const DATA_BITS: u8 = 2;
const PARITY: u8 = 3;
const STOP_BITS: u8 = 4;
const CONTROL: u8 = 5;
const LINE_STATE: u8 = 6;
const MODEM_STATE: u8 = 7;
const SUSPEND: u8 = 8;
const RESUME: u8 = 9;
const LINE_MASK: u8 = 10;
const MODEM_MASK: u8 = 11;
const PURGE: u8 = 12;

/// What of a line's state a client wants to hear of: a break, and a character that was lost or came changed.
pub(crate) const ERRORS: u8 = BREAK | FRAMING | PARITY_ERROR | OVERRUN;
pub(crate) const OVERRUN: u8 = 2;
pub(crate) const PARITY_ERROR: u8 = 4;
pub(crate) const FRAMING: u8 = 8;
pub(crate) const BREAK: u8 = 16;

/// The length of a break of which only the beginning is told, in milliseconds.
pub(crate) const BREAK_MS: u32 = 250;

/// What a setting is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    Baud,
    DataBits,
    Parity,
    StopBits,
    /// Values 0 to 3 of SET-CONTROL.
    Flow,
    /// Values 4 to 6.
    Break,
    /// Values 7 to 9.
    Dtr,
    /// Values 10 to 12.
    Rts,
    Purge,
}

/// A setting and its value, by the numbers of RFC 2217; 0 asks for the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) topic: Topic,
    pub(crate) value: u32,
}

/// One subnegotiation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Asked for by a client, or told by a server.
    Setting(Setting),
    /// Asked for, or told: what the server is.
    Signature(String),
    /// What has come over the line beside data: a break, and what was wrong with a character.
    LineState(u8),
    /// How the modem lines are now.
    ModemState(u8),
    /// Which changes of modem lines are told.
    ModemMask(u8),
    /// Which changes of the line are told.
    LineMask(u8),
    /// No data is to be sent until [`Said::Resume`].
    Suspend,
    Resume,
}

/// Reads what a client (or, with `of_server`, a server) says; `None` if it makes no sense.
pub(crate) fn parse(bytes: &[u8], of_server: bool) -> Option<Said> {
    let (code, value) = bytes.split_first()?;
    let code = if of_server { code.checked_sub(SERVER)? } else { *code };
    let setting = |topic, value: u8| Said::Setting(Setting { topic, value: u32::from(value) });
    Some(match (code, value) {
        (SIGNATURE, text) => Said::Signature(String::from_utf8_lossy(text).into_owned()),
        (BAUD, value) => {
            let value = u32::from_be_bytes(value.try_into().ok()?);
            Said::Setting(Setting { topic: Topic::Baud, value })
        }
        (DATA_BITS, &[value]) => setting(Topic::DataBits, value),
        (PARITY, &[value]) => setting(Topic::Parity, value),
        (STOP_BITS, &[value]) => setting(Topic::StopBits, value),
        (CONTROL, &[value @ 0..=3]) => setting(Topic::Flow, value),
        (CONTROL, &[value @ 4..=6]) => setting(Topic::Break, value),
        (CONTROL, &[value @ 7..=9]) => setting(Topic::Dtr, value),
        (CONTROL, &[value @ 10..=12]) => setting(Topic::Rts, value),
        (LINE_STATE, &[value]) => Said::LineState(value),
        (MODEM_STATE, &[value]) => Said::ModemState(value),
        (SUSPEND, &[]) => Said::Suspend,
        (RESUME, &[]) => Said::Resume,
        (LINE_MASK, &[value]) => Said::LineMask(value),
        (MODEM_MASK, &[value]) => Said::ModemMask(value),
        (PURGE, &[value]) => setting(Topic::Purge, value),
        _ => return None,
    })
}

/// Writes what a client (or, with `of_server`, a server) says.
pub(crate) fn bytes(said: &Said, of_server: bool) -> Vec<u8> {
    let (code, value) = match said {
        Said::Setting(Setting { topic, value }) => {
            let low = value.to_be_bytes()[3];
            match topic {
                Topic::Baud => (BAUD, value.to_be_bytes().to_vec()),
                Topic::DataBits => (DATA_BITS, vec![low]),
                Topic::Parity => (PARITY, vec![low]),
                Topic::StopBits => (STOP_BITS, vec![low]),
                Topic::Flow | Topic::Break | Topic::Dtr | Topic::Rts => (CONTROL, vec![low]),
                Topic::Purge => (PURGE, vec![low]),
            }
        }
        Said::Signature(text) => (SIGNATURE, text.as_bytes().to_vec()),
        Said::LineState(bits) => (LINE_STATE, vec![*bits]),
        Said::ModemState(bits) => (MODEM_STATE, vec![*bits]),
        Said::ModemMask(bits) => (MODEM_MASK, vec![*bits]),
        Said::LineMask(bits) => (LINE_MASK, vec![*bits]),
        Said::Suspend => (SUSPEND, Vec::new()),
        Said::Resume => (RESUME, Vec::new()),
    };
    let code = if of_server { code + SERVER } else { code };
    [vec![code], value].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_rate_is_asked_for_and_told() {
        let said = Said::Setting(Setting { topic: Topic::Baud, value: 9600 });
        assert_eq!(bytes(&said, false), [1, 0, 0, 0x25, 0x80]);
        assert_eq!(bytes(&said, true), [101, 0, 0, 0x25, 0x80]);
        assert_eq!(parse(&[101, 0, 0, 0x25, 0x80], true), Some(said));
        assert_eq!(parse(&[1, 0, 0, 0x25], false), None);
        assert_eq!(parse(&[1, 0, 0, 0, 1], true), None);
    }

    proptest! {
        #[test]
        fn what_is_understood_is_written_the_same(
            said in prop::collection::vec(any::<u8>(), 0..7),
            code in 0_u8..14,
            of_server: bool,
        ) {
            let code = if of_server { code + 100 } else { code };
            let said = [vec![code], said].concat();
            if let Some(parsed) = parse(&said, of_server) {
                let signature = matches!(parsed, Said::Signature(_));
                prop_assert!(signature || bytes(&parsed, of_server) == said);
            }
        }
    }
}
