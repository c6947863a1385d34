//! The script, and the Redis keys that it is given.

/// The names of the Redis keys, without their prefix, in the order in which the script unpacks them. The last one is
/// the channel that wakes a worker.
pub const NAMES: [&str; 16] = [
    "due",
    "counter",
    "sequences",
    "since",
    "failures",
    "errors",
    "refreshed",
    "lease",
    "waking",
    "timer",
    "alive",
    "origin",
    "suspects",
    "reconciled",
    "misses",
    "refresh",
];

/// The marks' script, for `EVAL`: all verbs in one, the first argument says which.
pub const TEXT: &str = concat!(
    include_str!("lua/marks.lua"),
    include_str!("lua/changed.lua"),
    include_str!("lua/wanted.lua"),
    include_str!("lua/miss.lua"),
    include_str!("lua/take.lua"),
    include_str!("lua/renew.lua"),
    include_str!("lua/claim.lua"),
    include_str!("lua/clear.lua"),
    include_str!("lua/postpone.lua"),
    include_str!("lua/hold.lua"),
    include_str!("lua/reconcile.lua"),
    include_str!("lua/reconciled.lua"),
    include_str!("lua/release.lua"),
    include_str!("lua/call.lua"),
);

/// The SHA-1 of [`TEXT`], in lower-case hexadecimal, by which `EVALSHA` knows it.
pub const SHA1: [u8; 40] = sha1(TEXT);

const fn sha1(text: &str) -> [u8; 40] {
    let digest = const_sha1::sha1(text.as_bytes()).as_bytes();
    let mut sha1 = [0; 40];
    let mut at = 0;
    while at < 40 {
        let byte = digest[at / 2];
        let digit = if at % 2 == 0 { byte >> 4 } else { byte & 15 };
        sha1[at] = b"0123456789abcdef"[digit as usize];
        at += 1;
    }
    sha1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_known_by_the_sha1_of_its_text() {
        assert_eq!(
            &sha1("return 1"),
            b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db"
        );
    }
}
