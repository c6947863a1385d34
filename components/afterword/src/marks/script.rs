//! The script, and the Redis keys that it is given.

/// The names of the Redis keys, without their prefix, in the order in which the script unpacks
/// them. The last one is the channel that wakes a worker.
pub const NAMES: [&str; 17] = [
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
    "owner",
    "refresh",
];

/// The files as they are, comments and all.
const SOURCE: &str = concat!(
    include_str!("lua/marks.lua"),
    include_str!("lua/changed.lua"),
    include_str!("lua/wanted.lua"),
    include_str!("lua/check.lua"),
    include_str!("lua/miss.lua"),
    include_str!("lua/take.lua"),
    include_str!("lua/renew.lua"),
    include_str!("lua/claim.lua"),
    include_str!("lua/complete.lua"),
    include_str!("lua/forget.lua"),
    include_str!("lua/back_off.lua"),
    include_str!("lua/trip.lua"),
    include_str!("lua/recovered.lua"),
    include_str!("lua/reconcile.lua"),
    include_str!("lua/reconciled.lua"),
    include_str!("lua/release.lua"),
    include_str!("lua/call.lua"),
);

/// The script, for `EVAL`: all verbs in one, the first argument says which. Without the comments,
/// which are half of it: it is part of each component.
pub const TEXT: &str = match str::from_utf8(&CODE) {
    Ok(text) => text,
    Err(_) => panic!("the script is UTF-8"),
};

const CODE: [u8; code(SOURCE.as_bytes(), None)] = {
    let mut code_only = [0; code(SOURCE.as_bytes(), None)];
    code(SOURCE.as_bytes(), Some(&mut code_only));
    code_only
};

/// Copies `source` into `target`, if there is one, without comment lines, indentation and empty
/// lines. Returns how long that is. Every comment of the script is on lines of its own.
const fn code(source: &[u8], mut target: Option<&mut [u8]>) -> usize {
    let (mut at, mut length) = (0, 0);
    while at < source.len() {
        while at < source.len() && (source[at] == b' ' || source[at] == b'\n') {
            at += 1;
        }
        let comment = at + 1 < source.len() && source[at] == b'-' && source[at + 1] == b'-';
        while at < source.len() {
            if !comment {
                if let Some(target) = &mut target {
                    target[length] = source[at];
                }
                length += 1;
            }
            at += 1;
            if source[at - 1] == b'\n' {
                break;
            }
        }
    }
    length
}

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
    fn the_script_has_all_code_and_no_comment() {
        let lines = SOURCE.lines().map(str::trim_start);
        let code: Vec<&str> = lines
            .filter(|line| !line.is_empty() && !line.starts_with("--"))
            .collect();
        assert_eq!(TEXT.lines().collect::<Vec<_>>(), code);
        assert!(!TEXT.contains("--"), "a comment shares a line with code");
    }

    #[test]
    fn a_script_is_known_by_the_sha1_of_its_text() {
        assert_eq!(
            &sha1("return 1"),
            b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db"
        );
    }
}
