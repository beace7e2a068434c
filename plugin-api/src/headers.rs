//! [`HeaderBlock`]: names and values in one flat run of bytes, cheap to hand over and to walk.

use crate::error::{Error, ErrorKind, Result};
use bytes::Bytes;

/// Room for what most heads need, so that they are collected without growing.
const USUAL: usize = 512;

/// Fields in order, repeated names allowed. Layout: for each field a 32-bit little-endian length of
/// the name, one of the value, the name, the value.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct HeaderBlock {
    bytes: Bytes,
}

impl HeaderBlock {
    /// Collects fields in order.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if one is over 4 GiB.
    pub fn new<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self> {
        let mut bytes = Vec::with_capacity(USUAL);
        for (name, value) in fields {
            let (name, value) = (name.as_ref(), value.as_ref());
            for part in [name, value] {
                let length = u32::try_from(part.len())
                    .map_err(|_| Error::new(ErrorKind::Limit, "a field of over 4 GiB"))?;
                bytes.extend_from_slice(&length.to_le_bytes());
            }
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(value);
        }
        Ok(HeaderBlock { bytes: bytes.into() })
    }

    /// Takes a block from the other side, checking that every length lies inside.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] with the offset of the first length that does not.
    pub fn parse(bytes: Bytes) -> Result<Self> {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let at = bytes.len() - rest.len();
            let Some((_, _, after)) = split_field(rest) else {
                return Err(Error::new(ErrorKind::Protocol, "a header block is cut short")
                    .with("offset", at));
            };
            rest = after;
        }
        Ok(HeaderBlock { bytes })
    }

    /// The fields in order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let (name, value, after) = split_field(rest)?;
            rest = after;
            Some((name, value))
        })
    }

    /// The first value of a name, compared without regard to ASCII case.
    #[inline]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(have, _)| have.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| v)
    }

    /// The flat form.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

#[inline]
fn split_field(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name_len, rest) = bytes.split_first_chunk::<4>()?;
    let (value_len, rest) = rest.split_first_chunk::<4>()?;
    let (name, rest) = rest.split_at_checked(u32::from_le_bytes(*name_len) as usize)?;
    let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*value_len) as usize)?;
    Some((name, value, rest))
}

impl std::fmt::Debug for HeaderBlock {
    /// Names only: values may be credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| String::from_utf8_lossy(name))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_in_order() -> Result<()> {
        let block = HeaderBlock::new([(":path", "/"), ("a", "1"), ("A", "2"), ("empty", "")])?;
        let again = HeaderBlock::parse(block.clone().into_bytes())?;
        assert_eq!(again, block);
        assert_eq!(again.iter().count(), 4);
        assert_eq!(again.get("A"), Some(&b"1"[..]));
        assert_eq!(again.get("empty"), Some(&b""[..]));
        Ok(())
    }

    #[test]
    fn a_block_may_be_longer_than_most() -> Result<()> {
        let long = "x".repeat(USUAL);
        let fields = [("short", "1"), ("long", &*long), ("after", "2")];
        let block = HeaderBlock::new(fields)?;
        let read = block.iter().map(|(name, value)| (name.to_vec(), value.to_vec()));
        let meant = fields.map(|(name, value)| (name.into(), value.into()));
        assert_eq!(read.collect::<Vec<(Vec<u8>, Vec<u8>)>>(), meant);
        Ok(())
    }

    #[test]
    fn a_length_that_points_outside_is_refused_with_its_offset() -> Result<()> {
        let good = HeaderBlock::new([("name", "value")])?.into_bytes();
        for cut in 1..good.len() {
            assert!(HeaderBlock::parse(good.slice(..cut)).is_err(), "cut at {cut}");
        }
        let mut two = good.to_vec();
        two.extend_from_slice(&[0xff; 9]);
        let error = HeaderBlock::parse(two.into()).expect_err("the second field is nonsense");
        assert!(error.to_string().contains(&format!("offset={}", good.len())), "{error}");
        Ok(())
    }
}
