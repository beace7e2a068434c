//! The manifest in the file: JSON made at compile time and put into an ELF section of its own, where
//! a host reads it without running anything of the plugin. It survives LTO and `strip`.

use crate::abi::FINGERPRINTS;
use crate::facets::Facets;
use crate::interceptor::InterceptorInfo;
use crate::manifest::{ABI_MAJOR, ABI_MINOR, DriverInfo, HandlerInfo, PluginInfo};

/// Name of the ELF section.
pub const SECTION: &str = ".jackfield";
/// Its size; the JSON is followed by spaces. A plugin whose manifest is longer does not compile.
pub const SECTION_SIZE: usize = 8192;

/// Renders the manifest; used by [`crate::export_plugin!`].
pub const fn render(info: &PluginInfo) -> [u8; SECTION_SIZE] {
    let mut out = Writer { bytes: [b' '; SECTION_SIZE], len: 0 };
    out.raw("{\"manifest\":1,\"name\":").text(info.name);
    out.raw(",\"version\":").text(info.version);
    out.raw(",\"description\":").text(info.description);
    out.raw(",\"license\":").text(info.license);
    out.raw(",\"abi\":{\"major\":").number(ABI_MAJOR);
    out.raw(",\"minor\":").number(ABI_MINOR).abi(info).raw("}");
    out.raw(",\"target\":\"").raw(std::env::consts::ARCH);
    out.raw("-").raw(std::env::consts::OS).raw("-").raw(ENV);
    out.raw("\",\"panic\":\"").raw(PANIC).raw("\",\"profile\":\"").raw(PROFILE);
    out.raw("\",\"symbol\":").text(info.symbol);
    out.raw(",\"drivers\":[");
    let mut at = 0;
    while at < info.drivers.len() {
        out.comma(at).driver(&info.drivers[at]);
        at += 1;
    }
    out.raw("],\"handlers\":[");
    let mut at = 0;
    while at < info.handlers.len() {
        out.comma(at).handler(&info.handlers[at]);
        at += 1;
    }
    out.raw("],\"interceptors\":[");
    let mut at = 0;
    while at < info.interceptors.len() {
        out.comma(at).interceptor(&info.interceptors[at]);
        at += 1;
    }
    out.raw("]}");
    out.bytes
}

const ENV: &str = if cfg!(target_env = "gnu") {
    "gnu"
} else if cfg!(target_env = "musl") {
    "musl"
} else {
    "other"
};

const PANIC: &str = if cfg!(panic = "unwind") { "unwind" } else { "abort" };

const PROFILE: &str = if cfg!(debug_assertions) { "debug" } else { "release" };

/// This binary's target, in the manifest's words.
pub fn target() -> String {
    format!("{}-{}-{ENV}", std::env::consts::ARCH, std::env::consts::OS)
}

struct Writer {
    bytes: [u8; SECTION_SIZE],
    len: usize,
}

/// The requirements written so far.
struct Needs {
    most: u32,
    count: usize,
}

impl Needs {
    /// What every host of this major has is not written.
    const fn add(&mut self, out: &mut Writer, minor: u32, what: &str, part: &str) {
        if minor == 0 {
            return;
        }
        out.comma(self.count).raw("{\"minor\":").number(minor).raw(",\"what\":\"").escaped(what);
        if !part.is_empty() {
            out.raw(" of ").escaped(part);
        }
        out.raw("\"}");
        self.count += 1;
        if minor > self.most {
            self.most = minor;
        }
    }
}

impl Writer {
    const fn byte(&mut self, byte: u8) -> &mut Self {
        assert!(self.len < SECTION_SIZE, "the manifest of this plugin is over 8 KiB");
        self.bytes[self.len] = byte;
        self.len += 1;
        self
    }

    const fn raw(&mut self, text: &str) -> &mut Self {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            self.byte(bytes[at]);
            at += 1;
        }
        self
    }

    const fn text(&mut self, text: &str) -> &mut Self {
        self.byte(b'"').escaped(text).byte(b'"')
    }

    const fn escaped(&mut self, text: &str) -> &mut Self {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            match bytes[at] {
                b'"' => self.raw("\\\""),
                b'\\' => self.raw("\\\\"),
                b'\n' => self.raw("\\n"),
                0..=31 => self.byte(b' '),
                other => self.byte(other),
            };
            at += 1;
        }
        self
    }

    const fn number(&mut self, value: u32) -> &mut Self {
        if value >= 10 {
            self.number(value / 10);
        }
        self.byte(b'0' + (value % 10) as u8)
    }

    const fn comma(&mut self, index: usize) -> &mut Self {
        if index > 0 { self.byte(b',') } else { self }
    }

    const fn facets(&mut self, facets: Facets) -> &mut Self {
        self.byte(b'[');
        let mut first = 0;
        let mut at = 0;
        while at < Facets::NAMES.len() {
            let (facet, name) = Facets::NAMES[at];
            if facets.contains(facet) {
                self.comma(first).text(name);
                first += 1;
            }
            at += 1;
        }
        self.byte(b']')
    }

    const fn driver(&mut self, info: &DriverInfo) -> &mut Self {
        self.raw("{\"name\":").text(info.name).raw(",\"summary\":").text(info.summary);
        self.raw(",\"kind\":").text(info.kind.as_str());
        self.raw(",\"schemes\":[");
        let mut at = 0;
        while at < info.schemes.len() {
            let scheme = &info.schemes[at];
            self.comma(at).raw("{\"name\":").text(scheme.name);
            self.raw(",\"stack\":").text(scheme.stack);
            if let Some(port) = scheme.port {
                self.raw(",\"port\":").number(port as u32);
            }
            self.raw("}");
            at += 1;
        }
        self.raw(match (info.client, info.server) {
            (true, true) => "],\"roles\":[\"client\",\"server\"]",
            (true, false) => "],\"roles\":[\"client\"]",
            (false, true) => "],\"roles\":[\"server\"]",
            (false, false) => "],\"roles\":[]",
        });
        self.raw(",\"facets\":").facets(info.facets);
        self.raw(",\"runtime\":").text(info.runtime.as_str());
        self.raw(",\"query\":").text(info.query.as_str()).raw("}")
    }

    const fn handler(&mut self, info: &HandlerInfo) -> &mut Self {
        self.raw("{\"name\":").text(info.name).raw(",\"summary\":").text(info.summary);
        self.raw(",\"runtime\":").text(info.runtime.as_str());
        self.raw(",\"facets\":").facets(info.facets).raw("}")
    }

    const fn interceptor(&mut self, info: &InterceptorInfo) -> &mut Self {
        self.raw("{\"name\":").text(info.name).raw(",\"summary\":").text(info.summary);
        self.raw(",\"order\":");
        if info.order < 0 {
            self.raw("-");
        }
        self.number(info.order.unsigned_abs()).raw("}")
    }

    /// What it needs of a host, and the form of its tables. What its constants use is found here; the rest
    /// its author names.
    const fn abi(&mut self, info: &PluginInfo) -> &mut Self {
        let mut needs = Needs { most: 0, count: 0 };
        self.raw(",\"requires\":[");
        let mut at = 0;
        while at < info.requires.len() {
            needs.add(self, info.requires[at].minor, info.requires[at].what, "");
            at += 1;
        }
        at = 0;
        while at < info.drivers.len() {
            let driver = &info.drivers[at];
            needs.add(self, driver.kind.since(), driver.kind.as_str(), driver.name);
            needs.add(self, driver.runtime.since(), driver.runtime.as_str(), driver.name);
            needs.add(self, driver.query.since(), driver.query.as_str(), driver.name);
            at += 1;
        }
        at = 0;
        while at < info.handlers.len() {
            let handler = &info.handlers[at];
            needs.add(self, handler.runtime.since(), handler.runtime.as_str(), handler.name);
            at += 1;
        }
        self.raw("],\"required_minor\":").number(needs.most).raw(",\"layouts\":[");
        at = 0;
        while at < FINGERPRINTS.len() {
            self.comma(at).raw("\"").hex(FINGERPRINTS[at]).raw("\"");
            at += 1;
        }
        self.raw("]")
    }

    const fn hex(&mut self, value: u64) -> &mut Self {
        let mut shift = 64;
        while shift > 0 {
            shift -= 4;
            self.byte(b"0123456789abcdef"[(value >> shift & 0xf) as usize]);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facets::Facets;
    use crate::manifest::{PluginManifest, Requirement, Scheme, plugin_info};

    const DRIVERS: &[DriverInfo] = &[DriverInfo::transport("a", "Says \"a\"\nand \\ more")
        .schemes(&[Scheme::new("a", "a").port(65535)])
        .client()
        .facets(Facets::STREAM)];

    fn rendered(requires: &'static [Requirement]) -> PluginManifest {
        let texts = ["n", "1.2.3", "", "MIT", "symbol", ""];
        let info = plugin_info(texts, DRIVERS, &[], &[], requires);
        serde_json::from_slice(render(&info).trim_ascii_end()).expect("JSON")
    }

    #[test]
    fn a_plugin_that_names_nothing_loads_in_every_host_of_its_major() {
        let manifest = rendered(&[]);
        assert_eq!((manifest.abi.required_minor, manifest.abi.lacking(0)), (0, None));
        assert_eq!(manifest.abi.layouts, FINGERPRINTS.map(|it| format!("{it:016x}")));
        assert_eq!(manifest.drivers[0].summary, "Says \"a\"\nand \\ more");
        assert_eq!(manifest.drivers[0].schemes[0].port, Some(65535));
    }

    #[test]
    fn what_a_plugin_cannot_do_without_is_named_to_a_host_that_is_too_old() {
        const REQUIRES: &[Requirement] = &[
            Requirement::new(1, "the service `lock`"),
            Requirement::new(3, "sessions that \"warp\""),
        ];
        let manifest = rendered(REQUIRES);
        assert_eq!(manifest.abi.required_minor, 3);
        let lacking = manifest.abi.lacking(1).expect("minor 3 is needed");
        assert_eq!(lacking, "sessions that \"warp\" (minor 3)");
        assert!(manifest.abi.lacking(0).expect("both").contains("the service `lock` (minor 1), "));
        assert_eq!(manifest.abi.lacking(3), None);
    }
}
