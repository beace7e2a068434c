//! SML, the notation in which people write messages of SECS-II: `S1F3 W <L <U4 10>> .`
//!
//! There is no standard for it; what is read here is what the tools of the field write. Keywords may have
//! any capitals. A number in brackets behind a format is the length, which is checked. Comments are
//! `/* … */` and `// …`. A name with a colon may stand in front, and stream and function in quotation marks.

mod read;
mod write;

pub use read::read;
pub use write::write;

use crate::item::Item;

/// A message without its session and transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Text {
    /// 0 to 127.
    pub stream: u8,
    /// 0 to 255; odd ones begin a transaction.
    pub function: u8,
    /// Whether an answer is asked for.
    pub wait: bool,
    /// Its item, if it has one.
    pub item: Option<Item>,
}

impl Text {
    /// A message.
    pub fn new(stream: u8, function: u8, wait: bool, item: Option<Item>) -> Self {
        Text { stream, function, wait, item }
    }
}

/// Stream and function of `S1F3`.
pub fn title(text: &str) -> Option<(u8, u8)> {
    let rest = text.strip_prefix(['S', 's'])?;
    let (stream, function) = rest.split_once(['F', 'f'])?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u8>().ok()).flatten()
    };
    Some((number(stream).filter(|stream| *stream < 128)?, number(function)?))
}
