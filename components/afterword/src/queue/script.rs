//! The scripts that Redis runs, and the names of the Redis keys that they use.
//!
//! A script is a few files of `lua/`: `queue.lua` with the shared functions, and those of its
//! operations. A component calls few operations, and contains only their scripts. So an
//! acknowledgement makes Redis define no function that it does not need
//! (docs/decisions/0051-scripts-of-few-operations.md).

/// A script, which contains operations.
pub struct Script {
    /// The text, for `EVAL`, without comments: they are half of it.
    pub text: &'static str,
    /// The SHA-1 of the text in lower-case hexadecimal, for `EVALSHA`.
    pub sha1: [u8; 40],
    /// The keys that it uses, by their places in [`NAMES`], in the order in which it unpacks them.
    pub keys: &'static [usize],
}

/// An operation of a script.
#[derive(Clone, Copy)]
pub struct Operation {
    /// The script.
    pub script: &'static Script,
    /// The name, which is the script's first argument.
    pub name: &'static str,
}

macro_rules! names {
    ($($key:ident)+) => {
        /// The places of the names.
        #[expect(non_camel_case_types, reason = "the names in the scripts")]
        enum Place { $($key,)+ channel }

        /// The names of the Redis keys without the prefix. They carry the format version, `v1`.
        /// The last one is not a key but the channel that wakes a worker.
        ///
        /// `lua/queue.lua` says what each key contains. The table in docs/operating.md is checked
        /// against this list.
        pub const NAMES: [&str; Place::channel as usize + 1] =
            [$(concat!("v1:", stringify!($key)),)+ "refresh"];

        /// The names in the scripts.
        #[cfg(test)]
        const VARIABLES: [&str; NAMES.len()] = [$(stringify!($key),)+ "channel"];
    };
}

names! {
    queue counter versions queued_at failures errors completed lease wake_pending alarm alive
    breaker suspects reconciled fetch_locks owner next_wake requests metrics events waiting lag
    health last_change
}

macro_rules! script {
    ($(#[$documentation:meta])* $name:ident: $($file:literal)+; $($key:ident)+) => {
        $(#[$documentation])*
        static $name: Script = {
            const SOURCE: &str = concat!(
                "local ", $(stringify!($key), ",",)+ "_=unpack(KEYS)\n",
                include_str!("lua/queue.lua"),
                $(include_str!(concat!("lua/", $file, ".lua")),)+
                include_str!("lua/call.lua"),
            );
            const LENGTH: usize = code(SOURCE.as_bytes(), None);
            static CODE: [u8; LENGTH] = {
                let mut code_only = [0; LENGTH];
                code(SOURCE.as_bytes(), Some(&mut code_only));
                code_only
            };
            let Ok(text) = str::from_utf8(&CODE) else {
                panic!("the script is UTF-8");
            };
            Script {
                text,
                sha1: sha1(text),
                keys: &[$(Place::$key as usize),+],
            }
        };
    };
}

script! {
    /// A change was reported.
    INVALIDATING: "events" "invalidate";
    queue counter versions queued_at failures completed lease wake_pending alarm breaker requests
    events waiting last_change channel
}

script! {
    /// A reader found an entry missing or stale.
    READING: "fetch_lock" "request_refresh";
    queue counter versions queued_at failures completed lease wake_pending alarm breaker
    fetch_locks requests health channel
}

script! {
    /// An instance reports what it has counted.
    REPORTING: "report";
    queue counter versions queued_at failures completed lease wake_pending alarm breaker requests
    metrics events channel
}

script! {
    /// The worker.
    WORKING:
    "events" "worker" "acquire" "renew" "claim" "complete" "fold" "forget" "back_off" "trip"
    "recovered" "requeue" "queue_reconciliation" "reconciled" "release";
    queue counter versions queued_at failures errors completed lease wake_pending alarm alive
    breaker suspects reconciled owner next_wake requests metrics events waiting lag health channel
}

script! {
    /// The status page.
    SHOWING: "events" "retry" "status";
    queue counter versions queued_at failures errors completed lease wake_pending alarm alive
    breaker suspects requests metrics events waiting lag health channel
}

macro_rules! operations {
    ($($script:ident: $($operation:ident $name:literal)+;)+) => {
        $($(
            #[doc = concat!("The operation `", $name, "`, which `lua` defines and describes.")]
            pub const $operation: Operation = Operation { script: &$script, name: $name };
        )+)+

        /// All operations.
        pub const ALL: &[Operation] = &[$($($operation),+),+];
    };
}

operations! {
    INVALIDATING: INVALIDATE "invalidate";
    READING:
        REQUEST_REFRESH "request_refresh"
        ACQUIRE_FETCH_LOCK "acquire_fetch_lock"
        REMEMBER "remember";
    REPORTING: REPORT "report";
    WORKING:
        ACQUIRE "acquire"
        RENEW "renew"
        CLAIM "claim"
        COMPLETE "complete"
        FOLD "fold"
        FORGET "forget"
        BACK_OFF "back_off"
        TRIP "trip"
        RECOVERED "recovered"
        REQUEUE "requeue"
        QUEUE_RECONCILIATION "queue_reconciliation"
        RECONCILED "reconciled"
        RELEASE "release";
    SHOWING:
        RETRY "retry"
        STATUS "status"
        METRICS "metrics"
        EVENT "event";
}

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
    use std::collections::HashSet;

    /// The files, with their comments.
    const QUEUE: &str = include_str!("lua/queue.lua");

    fn scripts() -> impl Iterator<Item = &'static Script> {
        ALL.iter().map(|operation| operation.script)
    }

    #[test]
    fn code_is_without_comments_and_indentation() {
        let mut target = [0; 18];
        let source = b"-- Why.\nif a then\n\n  b()\nend\n";
        assert_eq!(code(source, None), target.len());
        code(source, Some(&mut target));
        assert_eq!(&target, b"if a then\nb()\nend\n");
        for script in scripts() {
            assert!(
                !script.text.contains("--"),
                "a comment shares a line with code"
            );
        }
    }

    #[test]
    fn the_sha1_is_that_of_the_text() {
        assert_eq!(
            &sha1("return 1"),
            b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db"
        );
        for script in scripts() {
            assert_eq!(script.sha1, sha1(script.text));
        }
    }

    #[test]
    fn a_script_defines_its_operations() {
        for Operation { script, name } in ALL {
            let definition = format!("\nfunction operations.{name}(");
            assert!(script.text.contains(&definition), "{name}");
        }
        let defined: HashSet<&str> = scripts()
            .flat_map(|script| script.text.lines())
            .filter_map(|line| line.strip_prefix("function operations."))
            .collect();
        assert_eq!(defined.len(), ALL.len());
    }

    #[test]
    fn a_script_unpacks_the_keys_that_it_uses() {
        for Operation { script, name } in ALL {
            let (unpacked, code) = script.text.split_once('\n').unwrap();
            let is_part = |it: char| it.is_ascii_alphanumeric() || it == '_';
            let words: HashSet<&str> = code.split(|it| !is_part(it)).collect();
            let used = (0..NAMES.len()).filter(|&at| words.contains(VARIABLES[at]));
            let used: HashSet<usize> = used.collect();
            assert_eq!(used, script.keys.iter().copied().collect(), "{name}");
            let keys: String = script
                .keys
                .iter()
                .map(|&at| format!("{},", VARIABLES[at]))
                .collect();
            assert_eq!(unpacked, format!("local {keys}_=unpack(KEYS)"));
        }
    }

    #[test]
    fn every_key_is_described_in_the_script_and_in_the_documentation() {
        const PAGE: &str = include_str!("../../../../docs/operating.md");
        let (_, keys) = NAMES.split_last().expect("there are names");
        for name in keys.iter().map(|name| name.trim_start_matches("v1:")) {
            assert!(
                QUEUE.contains(&format!("\n-- {name} ")),
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
