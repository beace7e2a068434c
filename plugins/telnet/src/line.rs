//! A serial line as the operations of sessions speak of it, in the words of the driver `serial`.

use crate::com_port::{self, Setting, Topic};
use crate::options::{Flow, Parity};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How a line is set; what is left out stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Bits per second.
    #[schemars(range(min = 1))]
    pub(crate) baud: Option<u32>,
    /// Bits of a character, 5 to 8.
    #[schemars(range(min = 5, max = 8))]
    pub(crate) data_bits: Option<u8>,
    /// The parity bit.
    pub(crate) parity: Option<Parity>,
    /// Stop bits, 1 or 2.
    #[schemars(range(min = 1, max = 2))]
    pub(crate) stop_bits: Option<u8>,
    /// Flow control.
    pub(crate) flow: Option<Flow>,
}

/// The modem lines that go out.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Lines {
    /// Data terminal ready.
    pub(crate) dtr: Option<bool>,
    /// Request to send.
    pub(crate) rts: Option<bool>,
}

/// Whether the line is held in a break.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BreakState {
    /// Begins it, or ends it.
    pub(crate) on: bool,
}

/// What waits in the line's queues and is to be thrown away.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Purge {
    /// What has come and was not read.
    pub(crate) input: bool,
    /// What was written and is not sent.
    pub(crate) output: bool,
}

impl Purge {
    /// As PURGE-DATA has it; `None`: nothing.
    pub(crate) fn ask(self) -> Option<Setting> {
        let value = u32::from(self.input) + 2 * u32::from(self.output);
        (value > 0).then_some(Setting { topic: Topic::Purge, value })
    }
}

/// The modem lines that come in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Modem {
    /// Clear to send.
    pub(crate) cts: bool,
    /// Data set ready.
    pub(crate) dsr: bool,
    /// Carrier.
    pub(crate) cd: bool,
    /// Ring.
    pub(crate) ri: bool,
}

const BITS: [u8; 4] = [16, 32, 128, 64];

impl Modem {
    /// As NOTIFY-MODEMSTATE has it.
    pub(crate) fn of_bits(bits: u8) -> Self {
        let [cts, dsr, cd, ri] = BITS.map(|bit| bits & bit != 0);
        Modem { cts, dsr, cd, ri }
    }

    /// As NOTIFY-MODEMSTATE has it, with what has changed since `before` in the lower half.
    pub(crate) fn bits(self, before: Modem) -> u8 {
        let level = |modem: Modem| {
            let lines = [modem.cts, modem.dsr, modem.cd, modem.ri];
            BITS.iter().zip(lines).filter(|(_, on)| *on).fold(0, |bits, (bit, _)| bits | bit)
        };
        let (now, before) = (level(self), level(before));
        now | (now ^ before) >> 4
    }
}

/// What went wrong on a line, or was a break.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LineState {
    overrun: bool,
    parity: bool,
    framing: bool,
    #[serde(rename = "break")]
    broken: bool,
}

impl LineState {
    /// As NOTIFY-LINESTATE has it.
    pub(crate) fn of_bits(bits: u8) -> Self {
        let has = |bit: u8| bits & bit != 0;
        LineState {
            overrun: has(com_port::OVERRUN),
            parity: has(com_port::PARITY_ERROR),
            framing: has(com_port::FRAMING),
            broken: has(com_port::BREAK),
        }
    }

    /// As NOTIFY-LINESTATE has it.
    pub(crate) fn bits(self) -> u8 {
        [
            (self.overrun, com_port::OVERRUN),
            (self.parity, com_port::PARITY_ERROR),
            (self.framing, com_port::FRAMING),
            (self.broken, com_port::BREAK),
        ]
        .into_iter()
        .filter(|(is, _)| *is)
        .fold(0, |bits, (_, bit)| bits | bit)
    }
}

impl Settings {
    /// What is to be asked of a server, one thing after the other.
    pub(crate) fn asks(&self) -> Vec<Setting> {
        let parity = |parity| match parity {
            Parity::None => 1,
            Parity::Odd => 2,
            Parity::Even => 3,
            Parity::Mark => 4,
            Parity::Space => 5,
        };
        let flow = |flow| match flow {
            Flow::None => 1,
            Flow::Software => 2,
            Flow::Hardware => 3,
        };
        let all = [
            (Topic::Baud, self.baud),
            (Topic::DataBits, self.data_bits.map(u32::from)),
            (Topic::Parity, self.parity.map(parity)),
            (Topic::StopBits, self.stop_bits.map(u32::from)),
            (Topic::Flow, self.flow.map(flow)),
        ];
        all.into_iter()
            .filter_map(|(topic, value)| Some(Setting { topic, value: value? }))
            .collect()
    }

    /// Takes what a server has said; a value that has no meaning is left out.
    pub(crate) fn take(&mut self, setting: Setting) {
        let small = u8::try_from(setting.value).ok();
        match setting.topic {
            Topic::Baud => self.baud = Some(setting.value).filter(|baud| *baud > 0),
            Topic::DataBits => self.data_bits = small.filter(|bits| (5..=8).contains(bits)),
            Topic::StopBits => self.stop_bits = small.filter(|bits| (1..=2).contains(bits)),
            Topic::Parity => {
                self.parity = match setting.value {
                    1 => Some(Parity::None),
                    2 => Some(Parity::Odd),
                    3 => Some(Parity::Even),
                    4 => Some(Parity::Mark),
                    5 => Some(Parity::Space),
                    _ => None,
                }
            }
            Topic::Flow => {
                self.flow = match setting.value {
                    1 => Some(Flow::None),
                    2 => Some(Flow::Software),
                    3 => Some(Flow::Hardware),
                    _ => None,
                }
            }
            Topic::Break | Topic::Dtr | Topic::Rts | Topic::Purge => {}
        }
    }

    fn of(&self, topic: Topic) -> Option<u32> {
        self.asks().into_iter().find(|setting| setting.topic == topic).map(|setting| setting.value)
    }
}

/// The operation of a line that does what a client asks for; `None` where nothing has to be done.
pub(crate) fn operation(ask: Setting) -> Option<(&'static str, Value)> {
    match ask.topic {
        Topic::Break if ask.value != 4 => Some(("set_break", json!({ "on": ask.value == 5 }))),
        Topic::Purge if matches!(ask.value, 1..=3) => {
            let (input, output) = (ask.value & 1 != 0, ask.value & 2 != 0);
            Some(("purge", json!({ "input": input, "output": output })))
        }
        Topic::Dtr if ask.value != 7 => Some(("set_lines", json!({ "dtr": ask.value == 8 }))),
        Topic::Rts if ask.value != 10 => Some(("set_lines", json!({ "rts": ask.value == 11 }))),
        Topic::Break | Topic::Dtr | Topic::Rts | Topic::Purge => None,
        _ => {
            let mut settings = Settings::default();
            settings.take(ask);
            let wanted = serde_json::to_value(settings).unwrap_or_default();
            let given =
                wanted.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
            Some(("set", given.map(|(name, value)| (name.clone(), value.clone())).collect()))
        }
    }
}

/// Whether it begins a break that a later one ends.
pub(crate) fn begins_break(ask: Setting) -> bool {
    ask == Setting { topic: Topic::Break, value: 5 }
}

/// What a client that has asked is told: how the line is set now, as far as `result` says so.
pub(crate) fn answer(ask: Setting, result: Option<&Value>) -> Setting {
    let settings =
        result.and_then(|result| serde_json::from_value::<Settings>(result.clone()).ok());
    let now = settings.and_then(|settings| settings.of(ask.topic));
    let value = match ask.topic {
        Topic::Baud | Topic::DataBits | Topic::Parity | Topic::StopBits | Topic::Flow => {
            now.unwrap_or(if result.is_some() { ask.value } else { 0 })
        }
        // There is no way to ask for these: what was set last, or off.
        Topic::Break if ask.value == 4 => 6,
        Topic::Dtr if ask.value == 7 => 8,
        Topic::Rts if ask.value == 10 => 11,
        _ => ask.value,
    };
    Setting { topic: ask.topic, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_asks_for_becomes_an_operation_and_its_result_an_answer() {
        let ask = |topic, value| Setting { topic, value };
        let (name, params) = operation(ask(Topic::Baud, 9600)).expect("an operation");
        assert_eq!((name, params), ("set", json!({ "baud": 9600 })));
        assert_eq!(operation(ask(Topic::Parity, 3)), Some(("set", json!({ "parity": "even" }))));
        assert_eq!(operation(ask(Topic::Baud, 0)), Some(("set", json!({}))));
        assert_eq!(operation(ask(Topic::Dtr, 9)), Some(("set_lines", json!({ "dtr": false }))));
        assert_eq!(operation(ask(Topic::Break, 6)), Some(("set_break", json!({ "on": false }))));
        assert_eq!(operation(ask(Topic::Break, 4)), None);
        let purge = json!({ "input": false, "output": true });
        assert_eq!(operation(ask(Topic::Purge, 2)), Some(("purge", purge)));
        let now = json!({ "baud": 9600, "data_bits": 8, "parity": "even", "flow": null });
        assert_eq!(answer(ask(Topic::Baud, 1234), Some(&now)).value, 9600);
        assert_eq!(answer(ask(Topic::Parity, 1), Some(&now)).value, 3);
        assert_eq!(answer(ask(Topic::Baud, 1234), None).value, 0);
    }

    #[test]
    fn settings_survive_the_way_there_and_back() {
        let settings = Settings {
            baud: Some(1_234_567),
            data_bits: Some(7),
            parity: Some(Parity::Odd),
            stop_bits: Some(2),
            flow: Some(Flow::Hardware),
        };
        let mut back = Settings::default();
        settings.asks().into_iter().for_each(|setting| back.take(setting));
        assert_eq!(back, settings);
    }

    #[test]
    fn modem_lines_have_their_bits() {
        let before = Modem { cts: true, ..Modem::default() };
        let now = Modem { dsr: true, cd: true, ..Modem::default() };
        assert_eq!(now.bits(before), 0b1010_1011);
        assert_eq!(Modem::of_bits(now.bits(before)), now);
    }
}
