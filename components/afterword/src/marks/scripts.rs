//! The scripts, each with the part that all of them share before it, and the Redis keys that they are given.

/// The Redis keys of the marks, in the order in which the scripts unpack them. All carry one hash tag, so that they stay
/// together wherever a server distributes keys.
pub const KEYS: [&str; 9] = [
    "{afterword}:due",
    "{afterword}:counter",
    SEQUENCES,
    "{afterword}:since",
    "{afterword}:failures",
    "{afterword}:errors",
    "{afterword}:refreshed",
    "{afterword}:lease",
    "{afterword}:waking",
];

/// Hash: marked key → the sequence number of its latest mark.
pub const SEQUENCES: &str = "{afterword}:sequences";

/// A script for `EVAL`, and the SHA-1 by which `EVALSHA` knows it.
pub struct Script {
    /// Lua.
    pub text: &'static str,
    /// The SHA-1 of the text, in lower-case hexadecimal.
    pub sha1: [u8; 40],
}

impl Script {
    const fn new(text: &'static str) -> Self {
        let digest = const_sha1::sha1(text.as_bytes()).as_bytes();
        let mut sha1 = [0; 40];
        let mut at = 0;
        while at < 40 {
            let byte = digest[at / 2];
            let digit = if at % 2 == 0 { byte >> 4 } else { byte & 15 };
            sha1[at] = b"0123456789abcdef"[digit as usize];
            at += 1;
        }
        Self { text, sha1 }
    }
}

macro_rules! script {
    ($name:ident, $file:literal, $doc:literal) => {
        #[doc = $doc]
        pub static $name: Script =
            Script::new(concat!(include_str!("lua/marks.lua"), include_str!($file)));
    };
}

script!(
    CHANGED,
    "lua/changed.lua",
    "A webhook said that keys may have changed."
);
script!(
    WANTED,
    "lua/wanted.lua",
    "A reader found an entry missing or stale."
);
script!(TAKE, "lua/take.lua", "A worker asks for the lease.");
script!(RENEW, "lua/renew.lua", "The worker is still at it.");
script!(CLAIM, "lua/claim.lua", "What is due.");
script!(CLEAR, "lua/clear.lua", "A key's entry has been written.");
script!(POSTPONE, "lua/postpone.lua", "A key's refresh failed.");
script!(RELEASE, "lua/release.lua", "The worker found nothing due.");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_known_by_the_sha1_of_its_text() {
        assert_eq!(
            &Script::new("return 1").sha1,
            b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db"
        );
    }
}
