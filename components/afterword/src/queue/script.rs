//! The script that Redis runs, and the names of the Redis keys that it uses.

/// The names of the Redis keys without the prefix, in the order in which the script unpacks them.
/// They carry the format version, `v1`. The last one is not a key but the channel that wakes a
/// worker.
///
/// `lua/queue.lua` says what each key contains. The table in docs/operating.md is checked against
/// this list.
pub const NAMES: [&str; 25] = [
    "v1:queue",
    "v1:counter",
    "v1:versions",
    "v1:queued_at",
    "v1:failures",
    "v1:errors",
    "v1:completed",
    "v1:lease",
    "v1:wake_pending",
    "v1:alarm",
    "v1:alive",
    "v1:breaker",
    "v1:suspects",
    "v1:reconciled",
    "v1:fetch_locks",
    "v1:owner",
    "v1:next_wake",
    "v1:requests",
    "v1:metrics",
    "v1:events",
    "v1:waiting",
    "v1:lag",
    "v1:health",
    "v1:last_change",
    "refresh",
];

/// The files, with their comments.
const SOURCE: &str = concat!(
    include_str!("lua/queue.lua"),
    include_str!("lua/events.lua"),
    include_str!("lua/invalidate.lua"),
    include_str!("lua/fetch_lock.lua"),
    include_str!("lua/request_refresh.lua"),
    include_str!("lua/report.lua"),
    include_str!("lua/acquire.lua"),
    include_str!("lua/renew.lua"),
    include_str!("lua/claim.lua"),
    include_str!("lua/complete.lua"),
    include_str!("lua/fold.lua"),
    include_str!("lua/forget.lua"),
    include_str!("lua/back_off.lua"),
    include_str!("lua/trip.lua"),
    include_str!("lua/recovered.lua"),
    include_str!("lua/queue_reconciliation.lua"),
    include_str!("lua/reconciled.lua"),
    include_str!("lua/release.lua"),
    include_str!("lua/retry.lua"),
    include_str!("lua/status.lua"),
    include_str!("lua/call.lua"),
);

/// The script for `EVAL`. It contains all operations; the first argument names one. Comments, half
/// of the text, are left out, because the text is part of each component.
pub const TEXT: &str = match str::from_utf8(&CODE) {
    Ok(text) => text,
    Err(_) => panic!("the script is UTF-8"),
};

static CODE: [u8; code(SOURCE.as_bytes(), None)] = {
    let mut code_only = [0; code(SOURCE.as_bytes(), None)];
    code(SOURCE.as_bytes(), Some(&mut code_only));
    code_only
};

/// Copies `source` into `target`, if given, without comment lines, indentation and empty lines.
/// Returns the length of the copy. No comment of the script shares a line with code.
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

/// The SHA-1 of [`TEXT`] in lower-case hexadecimal, for `EVALSHA`.
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
    fn the_script_contains_all_code_and_no_comments() {
        let lines = SOURCE.lines().map(str::trim_start);
        let code: Vec<&str> = lines
            .filter(|line| !line.is_empty() && !line.starts_with("--"))
            .collect();
        assert_eq!(TEXT.lines().collect::<Vec<_>>(), code);
        assert!(!TEXT.contains("--"), "a comment shares a line with code");
    }

    #[test]
    fn the_sha1_is_that_of_the_text() {
        assert_eq!(
            &sha1("return 1"),
            b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db"
        );
    }

    #[test]
    fn the_script_unpacks_the_keys_in_the_order_of_the_list() {
        let unpacked = SOURCE
            .split_once("local queue,")
            .and_then(|(_, rest)| rest.split_once(" =\n  unpack(KEYS)"))
            .map(|(names, _)| format!("queue,{names}"));
        let unpacked = unpacked.expect("the script unpacks its keys");
        let unpacked: Vec<&str> = unpacked.split(',').map(str::trim).collect();
        let (channel, keys) = NAMES.split_last().expect("there are names");
        let keys = keys.iter().map(|name| name.trim_start_matches("v1:"));
        assert_eq!(unpacked, keys.chain(["channel"]).collect::<Vec<_>>());
        assert_eq!(*channel, "refresh");
    }

    #[test]
    fn every_key_is_described_in_the_script_and_in_the_documentation() {
        const PAGE: &str = include_str!("../../../../docs/operating.md");
        let (_, keys) = NAMES.split_last().expect("there are names");
        for name in keys.iter().map(|name| name.trim_start_matches("v1:")) {
            assert!(
                SOURCE.contains(&format!("\n-- {name} ")),
                "{name} in queue.lua"
            );
            assert!(
                PAGE.contains(&format!("\n| `{name}` |")),
                "{name} in docs/operating.md"
            );
        }
    }

    #[test]
    fn the_manifest_subscribes_to_the_channel_and_to_the_keys_that_expire() {
        const MANIFEST: &str = include_str!("../../../../spin.toml");
        let (channel, _) = NAMES.split_last().expect("there are names");
        let channels = ["v1:alarm", "v1:lease"].map(|name| {
            assert!(NAMES.contains(&name), "{name}");
            format!("__keyspace@0__:{{{{ redis_prefix }}}}:{name}")
        });
        for channel in [format!("{{{{ redis_prefix }}}}:{channel}")]
            .iter()
            .chain(&channels)
        {
            assert!(
                MANIFEST.contains(&format!("channel = \"{channel}\"")),
                "{channel}"
            );
        }
        assert_eq!(MANIFEST.matches("channel = ").count(), 3);
    }
}
