//! Durations and sizes as people write them: `"10s"`, `"64KiB"`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time, written as whole numbers with units, largest first: `"500ms"`, `"10s"`,
/// `"1h30m"`. Units: `ms`, `s`, `m`, `h`, `d`. At most 100 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timespan(pub Duration);

/// An amount of memory, written as a whole number with a unit: `"512B"`, `"64KiB"`. Units: `B`,
/// `KiB`, `MiB`, `GiB`, each 1024 of the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// Units of time in milliseconds, smallest first.
const TIME_UNITS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Units of size in bytes, smallest first.
const SIZE_UNITS: &[(&str, u64)] =
    &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

const MAX_MILLIS: u64 = 100 * 366 * 86_400_000;

const DURATION: &str = "a duration such as \"500ms\", \"10s\" or \"1h30m\"";
const SIZE: &str = "a size such as \"512B\", \"64KiB\" or \"16MiB\"";

impl Timespan {
    /// What it is written as.
    pub const EXPECTED: &str = DURATION;

    /// A whole number of seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Whether this is `"0s"`, which means "off" wherever a timeout can be off.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl ByteSize {
    /// What it is written as.
    pub const EXPECTED: &str = SIZE;
}

/// Why a text is not a duration or a size: what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}{}", hint(suggestion.as_deref()))]
pub struct UnitError {
    expected: &'static str,
    suggestion: Option<String>,
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion.map(|meant| format!(" (did you mean \"{meant}\"?)")).unwrap_or_default()
}

impl FromStr for Timespan {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = |suggestion| UnitError { expected: DURATION, suggestion };
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(error(Some(format!("{text}s"))));
        }
        let (mut rest, mut total, mut larger) = (text, 0_u64, u64::MAX);
        while !rest.is_empty() {
            let (number, unit, after) = split_unit(rest).ok_or_else(|| error(None))?;
            let Some((_, millis)) = TIME_UNITS.iter().find(|(name, _)| *name == unit) else {
                return Err(error(None));
            };
            let value = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*millis));
            total = value
                .and_then(|value| total.checked_add(value))
                .filter(|total| *total <= MAX_MILLIS && *millis < larger)
                .ok_or_else(|| error(None))?;
            (rest, larger) = (after, *millis);
        }
        if text.is_empty() { Err(error(None)) } else { Ok(Self(Duration::from_millis(total))) }
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = |suggestion| UnitError { expected: SIZE, suggestion };
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(error(Some(format!("{text}B"))));
        }
        let (number, unit, rest) = split_unit(text).ok_or_else(|| error(None))?;
        let Some((_, bytes)) = SIZE_UNITS.iter().find(|(name, _)| *name == unit) else {
            let first = unit.chars().next().map(|first| first.to_ascii_uppercase());
            let near = SIZE_UNITS.iter().find(|(name, _)| name.chars().next() == first);
            return Err(error(near.map(|(name, _)| format!("{number}{name}"))));
        };
        let value = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*bytes));
        value.filter(|_| rest.is_empty()).map(Self).ok_or_else(|| error(None))
    }
}

impl fmt::Display for Timespan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_millis();
        if rest == 0 {
            return f.write_str("0s");
        }
        for (name, millis) in TIME_UNITS.iter().rev() {
            let millis = u128::from(*millis);
            if rest >= millis {
                write!(f, "{}{name}", rest / millis)?;
                rest %= millis;
            }
        }
        Ok(())
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |bytes: u64| self.0 >= bytes && self.0.is_multiple_of(bytes);
        let (name, bytes) =
            SIZE_UNITS.iter().rev().find(|(_, bytes)| fits(*bytes)).unwrap_or(&SIZE_UNITS[0]);
        write!(f, "{}{name}", self.0 / bytes)
    }
}

/// The digits `text` begins with, the letters behind them, and the rest.
fn split_unit(text: &str) -> Option<(&str, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, rest) = text.split_at(digits);
    let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(letters);
    (!number.is_empty() && !unit.is_empty()).then_some((number, unit, rest))
}

struct TextVisitor<T>(&'static str, std::marker::PhantomData<T>);

impl<T: FromStr<Err = UnitError>> de::Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    // A bare number is what a person most likely writes wrong, so it gets the unit suggested too.
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Timespan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor(DURATION, std::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor(SIZE, std::marker::PhantomData))
    }
}

impl JsonSchema for Timespan {
    fn schema_name() -> Cow<'static, str> {
        "Timespan".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$", "description": DURATION })
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+([KMG]i)?B$", "description": SIZE })
    }
}

impl Serialize for Timespan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{ByteSize, Timespan};

    #[test]
    fn durations_parse_and_are_written_back() {
        for (text, millis) in
            [("0s", 0), ("500ms", 500), ("10s", 10_000), ("1h30m", 5_400_000), ("2d", 172_800_000)]
        {
            let parsed: Timespan = text.parse().unwrap();
            assert_eq!(parsed, Timespan(Duration::from_millis(millis)), "{text}");
            assert_eq!(parsed.to_string(), text);
        }
        for bad in [
            "",
            "s",
            "10 s",
            "10x",
            "-1s",
            "1.5s",
            "30m1h",
            "1s1s",
            "99999999999999999999s",
            "40000d",
        ] {
            let error = bad.parse::<Timespan>().expect_err(bad);
            let expected = r#"expected a duration such as "500ms", "10s" or "1h30m""#;
            assert_eq!(error.to_string(), expected, "{bad}");
        }
        assert!("10".parse::<Timespan>().unwrap_err().to_string().ends_with(r#"mean "10s"?)"#));
    }

    #[test]
    fn sizes_parse_and_are_written_back() {
        for (text, bytes) in
            [("0B", 0), ("512B", 512), ("64KiB", 65_536), ("16MiB", 16 << 20), ("3GiB", 3 << 30)]
        {
            let parsed: ByteSize = text.parse().unwrap();
            assert_eq!(parsed, ByteSize(bytes), "{text}");
            assert_eq!(parsed.to_string(), text);
        }
        for (bad, hint) in [("64KB", "64KiB"), ("64k", "64KiB"), ("10", "10B"), ("1mb", "1MiB")] {
            let error = bad.parse::<ByteSize>().expect_err(bad).to_string();
            assert!(error.ends_with(&format!("(did you mean \"{hint}\"?)")), "{bad}: {error}");
        }
        for bad in ["", "KiB", "1KiB1B", "-1B", "1.5MiB", "99999999999999GiB", "1x"] {
            let error = bad.parse::<ByteSize>().expect_err(bad);
            let expected = r#"expected a size such as "512B", "64KiB" or "16MiB""#;
            assert_eq!(error.to_string(), expected, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(text in "[0-9a-zA-Zé]{0,30}") {
            let _ = (text.parse::<Timespan>(), text.parse::<ByteSize>());
        }

        #[test]
        fn what_is_displayed_parses_to_the_same_value(millis in 0_u64..3_000_000_000_000, bytes: u64) {
            let span = Timespan(Duration::from_millis(millis));
            prop_assert_eq!(span.to_string().parse(), Ok(span));
            prop_assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)));
        }
    }
}
