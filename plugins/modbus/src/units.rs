//! [`Units`]: addresses of devices, as options have them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Units: a list of numbers and of ranges such as `"1-10"`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Entry>", into = "Vec<Entry>")]
pub struct Units(Vec<(u8, u8)>);

/// One number or range.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Entry {
    Number(u8),
    Range(String),
}

impl Units {
    /// Whether none is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `unit` is one of them.
    pub fn has(&self, unit: u8) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&unit))
    }
}

impl TryFrom<Vec<Entry>> for Units {
    type Error = String;

    fn try_from(entries: Vec<Entry>) -> Result<Self, String> {
        let range = |entry| match entry {
            Entry::Number(number) => Ok((number, number)),
            Entry::Range(text) => {
                let (first, last) = text.split_once('-').unwrap_or((&text, &text));
                let number = |text: &str| text.trim().parse().ok();
                let range = number(first).zip(number(last)).filter(|(first, last)| first <= last);
                let wrong =
                    || format!("expected a unit such as 5 or units such as \"1-10\", not {text:?}");
                range.ok_or_else(wrong)
            }
        };
        entries.into_iter().map(range).collect::<Result<_, _>>().map(Units)
    }
}

impl From<Units> for Vec<Entry> {
    fn from(units: Units) -> Self {
        let entry = |(first, last)| match first == last {
            true => Entry::Number(first),
            false => Entry::Range(format!("{first}-{last}")),
        };
        units.0.into_iter().map(entry).collect()
    }
}

impl JsonSchema for Units {
    fn schema_name() -> Cow<'static, str> {
        "Units".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Vec::<Entry>::json_schema(generator)
    }
}
