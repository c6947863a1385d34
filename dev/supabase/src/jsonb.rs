//! The text of PostgreSQL's `jsonb`, which Supabase's webhook trigger passes to pg_net.

use std::fmt;

use serde_json::Value;

/// Writes a value like `jsonb::text`: a space after each `:` and `,`, and an object's keys by
/// length, then bytewise (PostgreSQL's `lengthCompareJsonbStringValue`).
pub(crate) struct Jsonb<'a>(pub &'a Value);

impl fmt::Display for Jsonb<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                members.sort_by_key(|(key, _)| (key.len(), key.as_bytes()));
                out.write_str("{")?;
                for (i, (key, value)) in members.into_iter().enumerate() {
                    let separator = if i == 0 { "" } else { ", " };
                    write!(
                        out,
                        "{separator}{}: {}",
                        Value::from(key.as_str()),
                        Jsonb(value)
                    )?;
                }
                out.write_str("}")
            }
            Value::Array(items) => {
                out.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    let separator = if i == 0 { "" } else { ", " };
                    write!(out, "{separator}{}", Jsonb(item))?;
                }
                out.write_str("]")
            }
            scalar => write!(out, "{scalar}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_sorted_by_length_then_bytewise() {
        let value = json!({"title": "T", "id": 1, "slug": null, "body": true});
        assert_eq!(
            Jsonb(&value).to_string(),
            r#"{"id": 1, "body": true, "slug": null, "title": "T"}"#
        );
    }

    #[test]
    fn nested_values_and_escapes_are_written_like_postgres() {
        let value = json!({"a": [1, {"c": "x\n\"\u{1}é"}], "b": []});
        assert_eq!(
            Jsonb(&value).to_string(),
            r#"{"a": [1, {"c": "x\n\"\u0001é"}], "b": []}"#
        );
    }

    #[test]
    fn every_recorded_webhook_body_is_reproduced() {
        let recording = include_str!("../../../tests/data/pg_net-webhooks.jsonl");
        let mut bodies = 0;
        for line in recording.lines() {
            let request: Value = serde_json::from_str(line).unwrap();
            let body = request["body"].as_str().unwrap();
            let parsed: Value = serde_json::from_str(body).unwrap();
            assert_eq!(Jsonb(&parsed).to_string(), body);
            bodies += 1;
        }
        assert_eq!(bodies, 72);
    }
}
