//! Events as lines. What peers and plugins say in them is cut, and its control characters are escaped, so
//! that it forges no line and steers no terminal.

use std::fmt::{self, Debug, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, format};
use tracing_subscriber::registry::LookupSpan;

/// Bytes that one value may have in a line.
const VALUE: usize = 1024;

/// Bytes that all values of a line may have together.
const LINE: usize = 3584;

/// Writes text with its control characters escaped, until there is no room; then it fails, so that what
/// is formatted ends.
struct Clean<'a> {
    out: &'a mut dyn Write,
    left: usize,
    is_json: bool,
}

impl Clean<'_> {
    fn put(&mut self, c: char) -> fmt::Result {
        let mut escaped = [0; 4];
        let own = match c {
            '"' if self.is_json => "\\\"",
            '\\' if self.is_json => "\\\\",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            // Also those that change the direction of what follows, or break lines.
            c if c.is_control()
                || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                let code = u32::from(c);
                return self.text(&if self.is_json {
                    format!("\\u{code:04x}")
                } else {
                    format!("\\u{{{code:x}}}")
                });
            }
            c => c.encode_utf8(&mut escaped),
        };
        self.text(own)
    }

    fn text(&mut self, text: &str) -> fmt::Result {
        if text.len() > self.left {
            self.left = 0;
            self.out.write_str("…")?;
            return Err(fmt::Error);
        }
        self.left -= text.len();
        self.out.write_str(text)
    }
}

impl Write for Clean<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| self.put(c))
    }
}

/// `message key=value …`, as people read it.
#[derive(Clone, Copy, Debug)]
pub(super) struct TextFields;

impl FormatFields<'_> for TextFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'_>, fields: R) -> fmt::Result {
        let mut values = Values { writer, left: LINE, is_json: false, is_first: true };
        fields.record(&mut values);
        Ok(())
    }
}

/// One JSON object: `timestamp`, `level`, `message` and the other fields, `module`.
#[derive(Clone, Copy, Debug)]
struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        write!(writer, "\",\"level\":\"{}\"", event.metadata().level())?;
        let by_ref = writer.by_ref();
        event.record(&mut Values { writer: by_ref, left: LINE, is_json: true, is_first: false });
        // `target` is a field of its own: where a session or a request went.
        writeln!(writer, ",\"module\":\"{}\"}}", event.metadata().target())
    }
}

/// Lines as `log.format` says at the moment.
pub(super) struct FormattedLines {
    is_json: Arc<AtomicBool>,
    text: Format<Full, SystemTime>,
}

impl FormattedLines {
    /// As JSON while `is_json` is set.
    pub(super) fn of(is_json: Arc<AtomicBool>) -> Self {
        FormattedLines { is_json, text: format().with_target(false) }
    }
}

impl<S, N> FormatEvent<S, N> for FormattedLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        match self.is_json.load(Ordering::Relaxed) {
            true => Json.format_event(context, writer, event),
            false => self.text.format_event(context, writer, event),
        }
    }
}

/// The values of one line. Writing to a string does not fail; what is cut is meant to.
struct Values<'a> {
    writer: Writer<'a>,
    left: usize,
    is_json: bool,
    is_first: bool,
}

impl Values<'_> {
    fn key(&mut self, name: &str) {
        let is_message = name == "message";
        let name = name.trim_start_matches("r#");
        let _ = if self.is_json {
            write!(self.writer, ",\"{name}\":")
        } else {
            let space = if std::mem::take(&mut self.is_first) { "" } else { " " };
            match (is_message, self.writer.has_ansi_escapes()) {
                (true, _) => write!(self.writer, "{space}"),
                (_, true) => {
                    write!(self.writer, "{space}\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m")
                }
                (_, false) => write!(self.writer, "{space}{name}="),
            }
        };
    }

    /// A value that comes from anywhere.
    fn put(&mut self, value: fmt::Arguments<'_>) {
        let room = VALUE.min(self.left);
        let mut clean = Clean { out: &mut self.writer, left: room, is_json: self.is_json };
        let _ = clean.write_fmt(value);
        self.left -= room - clean.left;
    }

    fn quoted(&mut self, name: &str, value: fmt::Arguments<'_>) {
        self.key(name);
        let _ = self.writer.write_char('"');
        self.put(value);
        let _ = self.writer.write_char('"');
    }

    /// A value that is short whatever it is, and must be whole.
    fn number(&mut self, field: &Field, value: impl fmt::Display) {
        self.key(field.name());
        let _ = write!(self.writer, "{value}");
    }
}

impl Visit for Values<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if self.is_json {
            self.quoted(field.name(), format_args!("{value:?}"));
        } else {
            self.key(field.name());
            self.put(format_args!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" && !self.is_json {
            self.key("message");
            self.put(format_args!("{value}"));
        } else {
            self.quoted(field.name(), format_args!("{value}"));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.number(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if self.is_json && !value.is_finite() {
            self.number(field, "null");
        } else {
            self.number(field, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::IgnorePoison;
    use std::io;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Out(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Out {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().ignore_poison().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(is_json: bool, log: impl FnOnce()) -> Vec<String> {
        let out = Out::default();
        let writer = out.clone();
        let builder = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(Mutex::new(writer))
            .log_internal_errors(false);
        if is_json {
            tracing::subscriber::with_default(builder.event_format(Json).finish(), log);
        } else {
            let builder = builder.with_target(false).fmt_fields(TextFields);
            tracing::subscriber::with_default(builder.finish(), log);
        }
        let bytes = out.0.lock().ignore_poison().clone();
        let text = String::from_utf8(bytes).expect("UTF-8");
        text.lines().map(str::to_owned).collect()
    }

    const FORGED: &str = "x\n2026-01-01T00:00:00Z  WARN login of root \u{1b}[31m\u{85}\u{202e}";

    fn forge() {
        tracing::info!(text = FORGED, error = %FORGED, debug = ?FORGED, id = 7, "said {FORGED}");
    }

    #[test]
    fn what_is_said_by_others_stays_in_its_line_and_steers_no_terminal() {
        for is_json in [false, true] {
            let lines = lines(is_json, forge);
            assert_eq!(lines.len(), 1, "{lines:#?}");
            assert!(!lines[0].contains(|c: char| c.is_control()), "{lines:#?}");
            assert!(lines[0].contains("login of root") && lines[0].contains("\\n2026"));
        }
        let line = &lines(true, forge)[0];
        let object: serde_json::Value = serde_json::from_str(line).expect("an object");
        assert_eq!(object["text"].as_str(), Some(FORGED));
        assert_eq!((object["id"].as_u64(), object["level"].as_str()), (Some(7), Some("INFO")));
        assert!(object["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')));
        assert_eq!(object["message"].as_str().map(|text| text.starts_with("said x")), Some(true));
    }

    #[test]
    fn a_line_is_cut_at_some_kilobytes_whatever_is_in_it() {
        let long = "\u{1b}\"€".repeat(1_000_000);
        for is_json in [false, true] {
            let log = || tracing::info!(a = long, b = long, c = long, d = long, e = %long, id = 7);
            let lines = lines(is_json, log);
            assert_eq!(lines.len(), 1);
            assert!(lines[0].len() < 4096, "{} bytes", lines[0].len());
            if is_json {
                assert!(serde_json::from_str::<serde_json::Value>(&lines[0]).is_ok(), "{lines:#?}");
            }
        }
    }

    #[test]
    fn texts_are_quoted_and_what_is_displayed_is_not() {
        let log = || tracing::info!(local = "127.0.0.1:1", why = %"it ended", count = 3, "ready");
        let line = &lines(false, log)[0];
        assert!(line.ends_with("INFO ready local=\"127.0.0.1:1\" why=it ended count=3"), "{line}");
    }
}
