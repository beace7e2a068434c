//! Content codings (RFC 9110 §8.4): what was compressed on the way, with a bound on what comes out.

use crate::call::too_long;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::io::Read;

/// One coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// The codings of a field in the order they were applied; none if one is unknown, so that content is
/// given as it came.
pub(crate) fn codings(names: &[u8]) -> Vec<Coding> {
    let names = String::from_utf8_lossy(names).to_ascii_lowercase();
    let known = |name: &str| match name {
        "gzip" | "x-gzip" => Some(Coding::Gzip),
        "deflate" => Some(Coding::Deflate),
        "br" => Some(Coding::Brotli),
        "zstd" => Some(Coding::Zstd),
        _ => None,
    };
    let names = names.split(',').map(str::trim).filter(|name| *name != "identity");
    names.map(known).collect::<Option<Vec<_>>>().unwrap_or_default()
}

/// Undoes `codings`, last first. Blocks.
pub(crate) fn decode(content: &[u8], codings: &[Coding], most: usize) -> Result<Vec<u8>> {
    let mut content = content.to_vec();
    for coding in codings.iter().rev() {
        content = undo(*coding, &content, most)?;
    }
    Ok(content)
}

fn undo(coding: Coding, content: &[u8], most: usize) -> Result<Vec<u8>> {
    let broken = |text: String| {
        Error::new(ErrorKind::Protocol, format!("the content cannot be decompressed: {text}"))
            .with("coding", format!("{coding:?}").to_lowercase())
    };
    let mut plain = Vec::new();
    let room = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let read = match coding {
        Coding::Gzip => {
            flate2::read::MultiGzDecoder::new(content).take(room).read_to_end(&mut plain)
        }
        Coding::Deflate => {
            flate2::read::ZlibDecoder::new(content).take(room).read_to_end(&mut plain)
        }
        Coding::Brotli => {
            brotli_decompressor::Decompressor::new(content, 4096).take(room).read_to_end(&mut plain)
        }
        Coding::Zstd => ruzstd::decoding::StreamingDecoder::new(content)
            .map_err(|error| broken(error.to_string()))?
            .take(room)
            .read_to_end(&mut plain),
    };
    read.map_err(|error| broken(error.to_string()))?;
    if plain.len() > most { Err(too_long(most)) } else { Ok(plain) }
}

#[cfg(test)]
mod tests {
    use super::{Coding, codings, decode};
    use flate2::Compression;
    use flate2::read::{GzEncoder, ZlibEncoder};
    use jackfield_plugin_api::ErrorKind;
    use std::io::Read;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        GzEncoder::new(plain, Compression::fast()).read_to_end(&mut packed).unwrap();
        packed
    }

    #[test]
    fn codings_are_undone_in_their_order() {
        let mut packed = Vec::new();
        ZlibEncoder::new(&b"hello"[..], Compression::fast()).read_to_end(&mut packed).unwrap();
        let found = codings(b"deflate, GZIP");
        assert_eq!(found, [Coding::Deflate, Coding::Gzip]);
        assert_eq!(decode(&gzip(&packed), &found, 100).unwrap(), b"hello");
        assert_eq!(codings(b"gzip, unheard-of"), []);
        // `brotli` and `zstd` of their command line tools.
        let brotli = data_encoding::BASE64.decode(b"CwKAaGVsbG8D").unwrap();
        assert_eq!(decode(&brotli, &[Coding::Brotli], 5).unwrap(), b"hello");
        let zstd = data_encoding::BASE64.decode(b"KLUv/SAFKQAAaGVsbG8=").unwrap();
        assert_eq!(decode(&zstd, &[Coding::Zstd], 5).unwrap(), b"hello");
    }

    #[test]
    fn much_out_of_little_is_refused() {
        let bomb = gzip(&vec![0; 10 << 20]);
        assert!(bomb.len() < 100 << 10);
        assert_eq!(decode(&bomb, &[Coding::Gzip], 1 << 20).unwrap_err().kind(), ErrorKind::Limit);
    }

    #[test]
    fn broken_content_is_an_error() {
        let packed = gzip(&b"hello".repeat(100));
        for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd] {
            let cut = &packed[..packed.len() / 2];
            let error = decode(cut, &[coding], 1 << 20).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{coding:?}");
        }
    }
}
