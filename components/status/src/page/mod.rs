//! The status page for people: HTML, its style sheet and its script.
//!
//! Keys, errors and details are hostile text: `maud` escapes them. The page has no inline styles
//! or scripts, so that its Content-Security-Policy can forbid them.
//!
//! | module | content |
//! | --- | --- |
//! | `headline` | the overall state in one sentence |
//! | `amounts` | durations, ages, times, bytes and counts as text |
//! | `icon` | the four symbols beside words |
//! | `changes` | the timeline of webhooks and requests |
//! | `lag` | the lag now, and its chart |
//! | `queue` | the counts and the keys of the work queue |
//! | `parts` | the circuit breaker and the parts |
//! | `cache` | the stored entries and the last reconciliation |
//! | `actions` | the forms for refreshing and purging |
//! | `page.css`, `page.js` | the style sheet, and the script by which the page updates itself |

mod actions;
pub mod amounts;
mod cache;
mod changes;
pub mod headline;
mod icon;
mod lag;
mod parts;
mod queue;
#[cfg(test)]
mod samples;

use crate::snapshot::Snapshot;
use headline::{Headline, Level};
use maud::{DOCTYPE, Markup, html};

/// The style sheet, at `/status/page.css`.
pub const CSS: &str = include_str!("page.css");

/// The script, at `/status/page.js`.
pub const SCRIPT: &str = include_str!("page.js");

/// What this reader may do and is told.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Whether the reader is logged in and sees the buttons.
    pub may_act: bool,
    /// Whether the reader may log in.
    pub may_log_in: bool,
    /// What became of the reader's last request.
    pub notice: Option<Notice>,
}

/// What became of a request from the page.
#[derive(Clone, Debug)]
pub enum Notice {
    /// The keys that back off, or one of them, are tried again.
    Retry,
    /// A refresh has been queued.
    Refresh {
        /// The id of its event; unknown while Redis is away.
        id: Option<u64>,
    },
    /// A purge has been queued.
    Purge,
    /// The request failed.
    Error(&'static str),
}

/// The status page.
pub fn status(snapshot: &Snapshot, view: &View) -> String {
    let headline = headline::of(snapshot);
    let now = snapshot.now;
    let content = html! {
        header.bar {
            p.name { "Afterword" }
            @if view.may_act {
                form method="post" action="/status/logout" { button.quiet { "Log out" } }
            } @else if view.may_log_in {
                a href="/status/login" { "Log in" }
            }
        }
        main #status {
            @if let Some(notice) = &view.notice {
                (self::notice(notice))
            }
            (self::headline(&headline, now))
            div.columns {
                (changes::section(snapshot))
                div.side {
                    (lag::section(snapshot.lag.as_ref()))
                    (parts::breaker(snapshot))
                    (parts::section(snapshot))
                    (cache::section(snapshot))
                }
                div.rest {
                    (queue::section(snapshot, view.may_act))
                    @if view.may_act {
                        (actions::section())
                    }
                }
            }
        }
    };
    document(&headline.sentence, Some(headline.level), &content)
}

/// The login form; `failed` after a wrong token.
pub fn login(failed: bool) -> String {
    let content = html! {
        main.small {
            p.name { "Afterword" }
            h1 { "Log in" }
            form method="post" action="/status/login" {
                @if failed {
                    p #failure .failure role="alert" {
                        (icon::of(Level::Bad)) " This token is wrong."
                    }
                }
                // By this name a password manager stores the token. It is not sent.
                input type="text" autocomplete="username" value="Afterword" hidden;
                label for="token" { "Admin token" }
                input #token type="password" name="token" autocomplete="current-password" required
                    autofocus aria-invalid=[failed.then_some("true")]
                    aria-describedby=[failed.then_some("failure")];
                button { "Log in" }
            }
            p.hint { "The token is the value of the variable " code { "admin_token" } "." }
        }
    };
    document("Log in", None, &content)
}

/// The page of an application that sets neither `admin_token` nor `status_public`.
pub fn disabled() -> String {
    let content = html! {
        main.small {
            p.name { "Afterword" }
            h1 { "The status page is off" }
            p { "To see it, set one of these variables and start the application again:" }
            dl.stacked {
                dt { code { "admin_token" } }
                dd { "A secret of your choice. Whoever knows it can log in here, and has the buttons
                      for retrying, refreshing and purging." }
                dt { code { "status_public" } }
                dd { "With the value " code { "true" } ", everyone sees the page, without the
                      buttons." }
            }
            p { "With Spin, for example:" }
            pre tabindex="0" { code { "spin up --variable admin_token=…" } }
        }
    };
    document("The status page is off", None, &content)
}

/// The HTML document around `content`. The page with the state has a level, and updates itself.
fn document(title: &str, level: Option<Level>, content: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title.trim_end_matches('.')) " · Afterword" }
                link #favicon rel="icon" href=(icon::favicon(level));
                link rel="stylesheet" href="/status/page.css";
                @if level.is_some() {
                    script src="/status/page.js" defer {}
                }
            }
            body {
                (icon::symbols())
                (content)
            }
        }
    }
    .into_string()
}

fn headline(headline: &Headline, now: u64) -> Markup {
    html! {
        div.headline.(headline.level.class()) {
            (icon::of(headline.level))
            div {
                h1 { (headline.sentence) }
                @if !headline.also.is_empty() {
                    ul.also { @for sentence in &headline.also { li { (sentence) } } }
                }
                p #as-of .as-of {
                    span { "As of " (amounts::full_time(now)) }
                    // The script says here whether it keeps the page up to date.
                    span #live role="status" {}
                }
            }
        }
    }
}

fn notice(notice: &Notice) -> Markup {
    let level = match notice {
        Notice::Error(_) => Level::Bad,
        _ => Level::Good,
    };
    html! {
        div #notice .notice.(level.class()) {
            p {
                (icon::of(level)) " "
                @match notice {
                    Notice::Retry => "What was failing is tried again now.",
                    Notice::Refresh { id: Some(id) } => {
                        "The refresh is queued as "
                        a href={ "#change-" (id) } { "change " (id) } "."
                    }
                    Notice::Refresh { id: None } => "The refresh is queued.",
                    Notice::Purge => "The purge is queued.",
                    Notice::Error(error) => (error),
                }
            }
            a href="/status" { "Dismiss" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages() -> Vec<(&'static str, String)> {
        let everything = View {
            may_act: true,
            ..View::default()
        };
        let mut pages: Vec<_> = [
            ("healthy", samples::healthy()),
            ("empty", samples::empty()),
            ("behind", samples::behind()),
            ("failing", samples::failing()),
            ("away", samples::away()),
            ("everything-wrong", samples::everything_wrong()),
            ("hostile", samples::hostile()),
            ("crowded", samples::crowded()),
        ]
        .map(|(name, snapshot)| (name, status(&snapshot, &everything)))
        .into();
        let public = View {
            may_log_in: true,
            notice: Some(Notice::Error("This is no key.")),
            ..View::default()
        };
        pages.push(("public", status(&samples::failing(), &public)));
        pages.push(("login", login(false)));
        pages.push(("login-failed", login(true)));
        pages.push(("disabled", disabled()));
        pages
    }

    fn page(name: &str) -> String {
        let mut pages = pages().into_iter();
        pages.find(|page| page.0 == name).unwrap().1
    }

    #[test]
    fn the_policy_for_content_forbids_nothing_that_a_page_has() {
        for (name, html) in pages() {
            for forbidden in [" style=", "<style", " onclick=", "javascript:"] {
                assert!(!html.contains(forbidden), "{forbidden} in {name}");
            }
            let scripts = html.matches("<script").count();
            let own = html.matches(r#"<script src="/status/page.js" defer></script>"#);
            assert_eq!(scripts, own.count(), "{name}");
        }
    }

    #[test]
    fn hostile_text_stays_text() {
        let html = page("hostile");
        assert!(!html.contains("<img"), "{html}");
        assert!(!html.contains("<script>"), "{html}");
        assert!(html.contains("&lt;script&gt;alert(1)"), "{html}");
        // A button's value is in an attribute.
        assert!(html.contains("&lt;/script&gt;&quot;'&gt;&lt;img"), "{html}");
    }

    #[test]
    fn ids_are_unique() {
        for (name, html) in pages() {
            let mut ids: Vec<&str> = html
                .split(r#" id=""#)
                .skip(1)
                .filter_map(|rest| rest.split('"').next())
                .collect();
            ids.sort_unstable();
            let number = ids.len();
            ids.dedup();
            assert_eq!(ids.len(), number, "{name}");
        }
    }

    #[test]
    fn a_page_with_all_that_a_snapshot_can_hold_stays_light() {
        let size = page("crowded").len();
        assert!(size < 150_000, "{size} bytes");
    }

    #[test]
    fn a_reader_who_may_not_act_gets_no_form() {
        let html = page("public");
        assert!(
            !html.contains("<form") && !html.contains("<button"),
            "{html}"
        );
        assert!(
            html.contains(r#"<a href="/status/login">Log in</a>"#),
            "{html}"
        );
        let nobody = status(&samples::healthy(), &View::default());
        assert!(!nobody.contains("/status/login"), "{nobody}");
    }

    #[test]
    fn a_reader_who_may_act_gets_every_form() {
        let html = page("failing");
        for action in ["retry", "refresh", "purge", "logout"] {
            let form = format!(r#" method="post" action="/status/{action}">"#);
            assert!(html.contains(&form), "{action}");
        }
    }

    #[test]
    fn a_notice_says_what_became_of_the_request() {
        let text = |notice| {
            let view = View {
                notice: Some(notice),
                ..View::default()
            };
            status(&samples::healthy(), &view)
        };
        assert!(text(Notice::Retry).contains("tried again now"));
        assert!(text(Notice::Refresh { id: Some(7) }).contains(r##"<a href="#change-7">"##));
        assert!(text(Notice::Refresh { id: None }).contains("The refresh is queued."));
        assert!(text(Notice::Purge).contains("The purge is queued."));
        assert!(text(Notice::Error("No such key.")).contains("No such key."));
    }

    #[test]
    fn the_login_form_posts_the_token() {
        let html = login(false);
        assert!(
            html.contains(r#"<form method="post" action="/status/login">"#),
            "{html}"
        );
        assert!(
            html.contains(r#"name="token" autocomplete="current-password""#),
            "{html}"
        );
        assert!(!html.contains("wrong"), "{html}");
        assert!(login(true).contains("This token is wrong."));
    }

    #[test]
    fn a_disabled_page_names_both_variables() {
        let html = disabled();
        assert!(
            html.contains("admin_token") && html.contains("status_public"),
            "{html}"
        );
        assert!(!html.contains("<form"), "{html}");
    }

    #[test]
    fn only_the_page_with_the_state_updates_itself() {
        assert!(page("healthy").contains("page.js"));
        assert!(!page("login").contains("page.js"));
    }

    /// Writes each page into `target/status-page`, for looking at it in a browser.
    #[test]
    #[ignore = "writes files to look at"]
    fn write_the_pages() {
        let folder =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/status-page");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("page.css"), CSS).unwrap();
        std::fs::write(folder.join("page.js"), SCRIPT).unwrap();
        for (name, html) in pages() {
            let html = html.replace("\"/status/page.", "\"page.");
            std::fs::write(folder.join(format!("{name}.html")), html).unwrap();
        }
    }
}
