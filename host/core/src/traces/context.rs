//! [`SpanContext`]: where a span stands in its trace, and how that is written for others (W3C Trace Context).

use jackfield_plugin_api::HeaderBlock;

/// The field that names a trace and a span of it (W3C Trace Context §3.2).
pub(crate) const TRACEPARENT: &str = "traceparent";

/// What vendors add to it (W3C Trace Context §3.3).
pub(crate) const TRACESTATE: &str = "tracestate";

/// The only version so far; its value has exactly so many bytes, and later ones have at least those.
const VERSION: u8 = 0;
const LENGTH: usize = 55;

/// The flag by which who begins a trace says that it is kept.
const SAMPLED: u8 = 1;

/// Where a span stands in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanContext {
    trace: [u8; 16],
    id: [u8; 8],
    parent: Option<[u8; 8]>,
    is_sampled: bool,
    propagates: bool,
}

impl SpanContext {
    /// The first span of a new trace, which is kept if it is sampled.
    pub(super) fn new(is_sampled: bool, propagates: bool) -> Self {
        let trace = fastrand::u128(1..).to_be_bytes();
        SpanContext { trace, id: new_id(), parent: None, is_sampled, propagates }
    }

    /// The span that a request names as the one it comes from. What is not well formed names none, and so do two of them
    /// (W3C Trace Context §3.2 and §4.3).
    pub(super) fn of(head: &HeaderBlock) -> Option<Self> {
        let is_it = |name: &[u8]| name.eq_ignore_ascii_case(TRACEPARENT.as_bytes());
        let mut values = head.iter().filter(|(name, _)| is_it(name)).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (Some(value), None) => Self::read(value.trim_ascii()),
            _ => None,
        }
    }

    fn read(value: &[u8]) -> Option<Self> {
        let (known, more) = value.split_at_checked(LENGTH)?;
        let mut fields = known.split(|byte| *byte == b'-');
        let [version, trace, id, flags] =
            [fields.next()?, fields.next()?, fields.next()?, fields.next()?];
        // Fields of another length leave one of these without its bytes.
        let [version] = bytes::<1>(version)?;
        let (trace, id, [flags]) = (bytes::<16>(trace)?, bytes::<8>(id)?, bytes::<1>(flags)?);
        let ends = more.is_empty() || version != VERSION && more.starts_with(b"-");
        if !ends || version == 0xff || trace == [0; 16] || id == [0; 8] {
            return None;
        }
        let is_sampled = flags & SAMPLED != 0;
        Some(SpanContext { trace, id, parent: None, is_sampled, propagates: true })
    }

    /// A span that begins in this one.
    pub(super) fn child(self) -> Self {
        SpanContext { id: new_id(), parent: Some(self.id), ..self }
    }

    /// The trace.
    pub fn trace(&self) -> &[u8; 16] {
        &self.trace
    }

    /// The span.
    pub fn id(&self) -> &[u8; 8] {
        &self.id
    }

    /// The span that it begins in, if it is not the first of its trace.
    pub fn parent(&self) -> Option<&[u8; 8]> {
        self.parent.as_ref()
    }

    /// Whether its trace is kept.
    pub fn is_sampled(&self) -> bool {
        self.is_sampled
    }

    /// The value of `traceparent` for what is asked in this span, if others are to be told.
    pub fn propagated(&self) -> Option<String> {
        let (trace, id) = (u128::from_be_bytes(self.trace), u64::from_be_bytes(self.id));
        let flags = if self.is_sampled { SAMPLED } else { 0 };
        self.propagates.then(|| format!("00-{trace:032x}-{id:016x}-{flags:02x}"))
    }
}

fn new_id() -> [u8; 8] {
    fastrand::u64(1..).to_be_bytes()
}

/// So many bytes in hexadecimal digits, of which upper case is not well formed.
fn bytes<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    let pairs = text.chunks_exact(2);
    if text.len() != N * 2 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{SpanContext, TRACEPARENT};
    use jackfield_plugin_api::HeaderBlock;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn of(values: &[&str]) -> Option<SpanContext> {
        let fields = values.iter().map(|value| (TRACEPARENT, *value));
        SpanContext::of(&HeaderBlock::new(fields).unwrap())
    }

    #[test]
    fn a_child_stays_in_the_trace_of_its_parent() {
        let parent = of(&[GOOD]).unwrap();
        let child = parent.child();
        assert_eq!((child.trace(), child.parent()), (parent.trace(), Some(parent.id())));
        assert_ne!(child.id(), parent.id());
        assert_eq!(parent.propagated().unwrap(), GOOD);
        let read = of(&[&child.propagated().unwrap()]).unwrap();
        assert_eq!((read.trace(), read.id()), (child.trace(), child.id()));
    }

    #[test]
    fn only_what_is_well_formed_names_a_parent() {
        let later = GOOD.replacen("00", "01", 1);
        assert!(of(&[&later]).is_some() && of(&[&format!("{later}-more")]).is_some());
        let plain = [
            "",
            "00",
            &GOOD.to_uppercase(),
            &GOOD.replacen("00", "ff", 1),
            &GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &GOOD.replace("b7ad6b7169203331", &"0".repeat(16)),
            &GOOD.replace('b', "g"),
            &GOOD.replacen('-', "_", 1),
            &format!("{GOOD}-more"),
            &format!("{later}more"),
        ];
        for wrong in plain {
            assert_eq!(of(&[wrong]), None, "{wrong}");
        }
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[GOOD, GOOD]), None);
    }
}
