//! What the programs of this workspace know about the stand-in for Supabase (`dev/supabase`).

/// The stand-in's line with its URL starts with this.
pub const SERVING: &str = "serving: ";

/// The stand-in's development keys, `Keys::default()` of dev/supabase. They open nothing else.
pub const ANON_KEY: &str = "sb_publishable_afterword-development";
/// The key that may write.
pub const SERVICE_KEY: &str = "sb_secret_afterword-development";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stand_in_accepts_the_keys() {
        let keys = afterword_supabase::Keys::default();
        assert_eq!(keys.publishable, ANON_KEY);
        assert_eq!(keys.secret, SERVICE_KEY);
    }
}
