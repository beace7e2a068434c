//! [`Oid`]: names of objects (X.690 §8.19, RFC 2578 §3.5).

use crate::ber::{Fault, Writer, tag};
use std::fmt;

/// The most numbers of a name (RFC 2578 §3.5).
pub const MOST: usize = 128;

/// A name of at least two numbers, in the order of MIBs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Oid(Vec<u32>);

impl Oid {
    /// Of its numbers.
    ///
    /// # Errors
    /// There are fewer than two or more than 128, or the first two cannot be those of a name.
    pub fn new(numbers: Vec<u32>) -> Result<Self, Fault> {
        match numbers[..] {
            [0..=1, second, ..] if second >= 40 => {
                Err("expected a second number below 40 after 0 or 1".to_owned())
            }
            [0..=2, _, ..] if numbers.len() <= MOST => Ok(Oid(numbers)),
            [0..=2, _, ..] => {
                Err(format!("expected at most {MOST} numbers, not {}", numbers.len()))
            }
            [_, _, ..] => Err("expected a first number of 0, 1 or 2".to_owned()),
            _ => Err("expected at least two numbers, such as 1.3".to_owned()),
        }
    }

    /// One that is known to be right: names of our own.
    pub fn known(numbers: &[u32]) -> Self {
        Oid(numbers.to_vec())
    }

    /// Its numbers.
    pub fn numbers(&self) -> &[u32] {
        &self.0
    }

    /// Reads `1.3.6.1` or `.1.3.6.1`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let numbers = text.strip_prefix('.').unwrap_or(text);
        if numbers.split('.').count() > MOST {
            return Err(format!("expected at most {MOST} numbers"));
        }
        let number = |part: &str| {
            let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse().ok().filter(|_| is_number).ok_or_else(|| {
                format!("expected numbers up to 4294967295 joined by dots, such as 1.3.6.1, not {text:?}")
            })
        };
        Oid::new(numbers.split('.').map(number).collect::<Result<_, Fault>>()?)
            .map_err(|fault| format!("{fault}, in {text:?}"))
    }

    /// Reads the content of an element.
    ///
    /// # Errors
    /// A number is cut off or has more than 32 bits, or there are too many.
    pub fn read(content: &[u8]) -> Result<Self, Fault> {
        let mut numbers = Vec::with_capacity(content.len() + 1);
        let mut octets = content.iter();
        while let Some(number) = base128(&mut octets)? {
            if numbers.is_empty() {
                let first = (number / 40).min(2);
                numbers.push(small(first)?);
                numbers.push(small(number - 40 * first)?);
            } else if numbers.len() < MOST {
                numbers.push(small(number)?);
            } else {
                return Err(format!("an object identifier has more than {MOST} numbers"));
            }
        }
        // Some agents send the name 0.0 as nothing at all.
        Ok(if numbers.is_empty() { Oid(vec![0, 0]) } else { Oid(numbers) })
    }

    /// Writes it as an element.
    pub fn write(&self, writer: &mut Writer) {
        writer.element(tag::OID, |writer| {
            let [first, second, rest @ ..] = &self.0[..] else { return };
            for number in rest.iter().rev() {
                put(writer, u64::from(*number));
            }
            put(writer, u64::from(*first) * 40 + u64::from(*second));
        });
    }

    /// Whether it is `root` or under it.
    pub fn is_under(&self, root: &Oid) -> bool {
        self.0.starts_with(&root.0)
    }

    /// It with more numbers behind.
    ///
    /// # Errors
    /// There are too many.
    pub fn with(&self, more: &[u32]) -> Result<Self, Fault> {
        Oid::new([&self.0[..], more].concat())
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, number) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(".")?;
            }
            write!(f, "{number}")?;
        }
        Ok(())
    }
}

fn small(number: u64) -> Result<u32, Fault> {
    u32::try_from(number).map_err(|_| too_long())
}

fn too_long() -> Fault {
    "a number of an object identifier has more than 32 bits".to_owned()
}

/// The next number, of seven bits an octet.
fn base128<'a>(octets: &mut impl Iterator<Item = &'a u8>) -> Result<Option<u64>, Fault> {
    let mut number = 0_u64;
    let mut begun = false;
    for octet in octets {
        begun = true;
        number = number << 7 | u64::from(octet & 0x7f);
        if number > u64::from(u32::MAX) + 80 {
            return Err(too_long());
        }
        if octet & 0x80 == 0 {
            return Ok(Some(number));
        }
    }
    match begun {
        true => Err("an object identifier is cut off in a number".to_owned()),
        false => Ok(None),
    }
}

fn put(writer: &mut Writer, mut number: u64) {
    let mut more = 0;
    loop {
        writer.raw(&[(number & 0x7f).to_le_bytes()[0] | more]);
        more = 0x80;
        number >>= 7;
        if number == 0 {
            return;
        }
    }
}
