//! The forms for refreshing and purging. They work without a script.

use maud::{Markup, html};

/// The section of the actions.
pub fn section() -> Markup {
    html! {
        section.actions aria-labelledby="actions" {
            h2 #actions { "Actions" }
            form method="post" action="/status/refresh" {
                label for="refresh-key" { "Refresh one key" }
                div.field {
                    input #refresh-key name="key" required placeholder="/articles/1"
                        autocomplete="off" autocapitalize="none" spellcheck="false";
                    button { "Refresh" }
                }
            }
            form method="post" action="/status/refresh" {
                p { button aria-describedby="refresh-hint" { "Refresh everything" } }
                p #refresh-hint .hint {
                    "Compares every entry with the table. Readers get the stored ones until then."
                }
            }
            details #purge {
                summary { "Purge the cache" }
                form method="post" action="/status/purge" {
                    p #purge-hint {
                        "This removes every stored entry. Until they are stored again, readers wait
                         for Supabase, and Supabase gets all their requests."
                    }
                    p { button.danger aria-describedby="purge-hint" { "Purge every entry" } }
                }
            }
        }
    }
}
