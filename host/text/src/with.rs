//! Values that files write in another form than programs use: `#[serde(with = "jackfield_text::with::duration")]` with
//! `#[schemars(with = "Timespan")]`. So the options of a layer are one struct for files and for programs.

use crate::units::{ByteSize, Timespan};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::collections::BTreeMap;
use std::time::Duration;

macro_rules! forms {
    ($($(#[$doc:meta])* $name:ident: $value:ty = $form:ty, $write:expr, $read:expr;)*) => {$(
        $(#[$doc])*
        pub mod $name {
            use super::*;

            /// Writes the value in its form.
            ///
            /// # Errors
            /// Those of the serializer.
            pub fn serialize<S: Serializer>(value: &$value, serializer: S) -> Result<S::Ok, S::Error> {
                let write: fn(&$value) -> $form = $write;
                write(value).serialize(serializer)
            }

            /// Reads the value from its form.
            ///
            /// # Errors
            /// Those of the form.
            pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$value, D::Error> {
                let read: fn($form) -> Result<$value, &'static str> = $read;
                read(<$form>::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }
    )*};
}

forms! {
    /// A duration as `"10s"`.
    duration: Duration = Timespan, |value| Timespan(*value), |form| Ok(form.0);
    /// A duration that may be left out.
    optional_duration: Option<Duration> = Option<Timespan>,
        |value| value.map(Timespan), |form| Ok(form.map(|form| form.0));
    /// A duration of which `"0s"` means that there is none.
    zero_is_none: Option<Duration> = Timespan,
        |value| Timespan(value.unwrap_or_default()), |form| Ok((!form.is_zero()).then_some(form.0));
    /// Durations by names.
    durations: BTreeMap<String, Duration> = BTreeMap<String, Timespan>,
        |value| value.iter().map(|(name, value)| (name.clone(), Timespan(*value))).collect(),
        |form| Ok(form.into_iter().map(|(name, form)| (name, form.0)).collect());
    /// A number of bytes as `"64KiB"`.
    size: usize = ByteSize,
        |value| ByteSize(u64::try_from(*value).unwrap_or(u64::MAX)),
        |form| usize::try_from(form.0).map_err(|_| "expected a size that this machine can address");
    /// A number of which -1 means that there is no limit.
    minus_one_is_none: Option<u32> = i64,
        |value| value.map_or(-1, i64::from),
        |form| match form {
            -1 => Ok(None),
            _ => u32::try_from(form).map(Some).map_err(|_| "expected a whole number from -1 to 4294967295"),
        };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct All {
        #[serde(with = "duration")]
        time: Duration,
        #[serde(with = "optional_duration", default)]
        perhaps: Option<Duration>,
        #[serde(with = "zero_is_none")]
        total: Option<Duration>,
        #[serde(with = "durations")]
        times: BTreeMap<String, Duration>,
        #[serde(with = "size")]
        bytes: usize,
        #[serde(with = "minus_one_is_none")]
        attempts: Option<u32>,
    }

    #[test]
    fn values_are_read_and_written_in_their_forms() {
        let text = r#"{"time":"10s","perhaps":"1m","total":"0s","times":{"exec":"5m"},"bytes":"64KiB","attempts":-1}"#;
        let seconds = Duration::from_secs;
        let all = All {
            time: seconds(10),
            perhaps: Some(seconds(60)),
            total: None,
            times: BTreeMap::from([("exec".to_owned(), seconds(300))]),
            bytes: 64 << 10,
            attempts: None,
        };
        assert_eq!(serde_json::from_str::<All>(text).unwrap(), all);
        assert_eq!(serde_json::to_string(&all).unwrap(), text);
        let some = text.replace("\"0s\"", "\"3s\"").replace("-1", "4");
        let read: All = serde_json::from_str(&some).unwrap();
        assert_eq!((read.total, read.attempts), (Some(seconds(3)), Some(4)));
        assert!(serde_json::from_str::<All>(&text.replace("-1", "-2")).is_err());
    }
}
