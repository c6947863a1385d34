//! Filters on rows: `id=eq.7`, `id=in.(1,2)`, `body=not.is.null`.

use rusqlite::types::Value as Sql;

use crate::{error::RestError, policy::Access, schema::quote};

/// A filter on one column. All filters of a request have to match.
#[derive(Debug, PartialEq)]
pub(crate) struct Filter {
    column: String,
    negated: bool,
    test: Test,
}

#[derive(Debug, PartialEq)]
enum Test {
    /// An SQL comparison operator and the text of its operand.
    Compare(&'static str, String),
    In(Vec<String>),
    /// An SQL predicate such as `IS NULL`.
    Is(&'static str),
}

/// The operators that this stand-in lacks, by their names in PostgREST's `QueryParams.hs`.
const MISSING_OPERATORS: [&str; 17] = [
    "like",
    "ilike",
    "match",
    "imatch",
    "isdistinct",
    "fts",
    "plfts",
    "phfts",
    "wfts",
    "cs",
    "cd",
    "ov",
    "sl",
    "sr",
    "nxr",
    "nxl",
    "adj",
];

/// The operators that PostgREST also accepts with a list of values: `like(any)`, `eq(all)`.
const QUANTIFIED: [&str; 9] = [
    "eq", "gt", "gte", "lt", "lte", "like", "ilike", "match", "imatch",
];

/// The operators that PostgREST also accepts with a language: `fts(english)`.
const TEXT_SEARCHES: [&str; 4] = ["fts", "plfts", "phfts", "wfts"];

impl Filter {
    /// Parses a query parameter with the name `column` and the value `[not.]operator.value`.
    pub fn parse(column: &str, value: &str) -> Result<Self, RestError> {
        let (negated, rest) = match value.strip_prefix("not.") {
            Some(rest) => (true, rest),
            None => (false, value),
        };
        let start = value.len() - rest.len();
        let (operator, operand) = rest.split_once('.').unwrap_or((rest, ""));
        let known = rest.contains('.');
        let compare = |operator| Test::Compare(operator, operand.to_owned());
        let test = match operator {
            "eq" if known => compare("="),
            "neq" if known => compare("<>"),
            "gt" if known => compare(">"),
            "gte" if known => compare(">="),
            "lt" if known => compare("<"),
            "lte" if known => compare("<="),
            "is" if known => Test::Is(is(operand).ok_or_else(|| {
                let expecting = "isVal: (null, not_null, true, false, unknown)";
                RestError::parse("filter", value, start + 4, expecting)
            })?),
            "in" if known => Test::In(list(operand).ok_or_else(|| {
                if operand.trim_start().starts_with('(') {
                    RestError::parse("filter", value, value.chars().count() + 1, "\",\" or \")\"")
                } else {
                    RestError::parse("filter", value, start + 4, "\"(\"")
                }
            })?),
            other if known && is_missing(other) => {
                return Err(RestError::not_implemented(format!(
                    "The stand-in has no operator '{other}'; it has eq, neq, gt, gte, lt, lte, in \
                     and is, each with not."
                )));
            }
            _ => {
                let expecting = if negated {
                    "operator (eq, gt, ...)"
                } else {
                    "\"not\" or operator (eq, gt, ...)"
                };
                return Err(RestError::parse("filter", value, start + 1, expecting));
            }
        };
        Ok(Self {
            column: column.to_owned(),
            negated,
            test,
        })
    }

    /// The filter as an SQL condition. Appends its values to `values` in the order of the `?`s.
    fn condition(&self, access: &Access, values: &mut Vec<Sql>) -> Result<String, RestError> {
        let column = access.readable(&self.column)?;
        let name = quote(&column.name);
        let test = match &self.test {
            Test::Compare(operator, operand) => {
                values.push(column.kind.parse(operand)?);
                format!("{name} {operator} ?")
            }
            // The grammar parses `in.()` as one empty item, but PostgREST takes it as no item.
            Test::In(items) if *items == [""] => "false".to_owned(),
            Test::In(items) => {
                for item in items {
                    values.push(column.kind.parse(item)?);
                }
                format!("{name} IN ({})", vec!["?"; items.len()].join(", "))
            }
            Test::Is(predicate) => format!("{name} {predicate}"),
        };
        Ok(if self.negated {
            format!("NOT ({test})")
        } else {
            test
        })
    }
}

/// A `WHERE` clause of `rule` and all `filters`, and its values.
pub(crate) fn conditions(
    access: &Access,
    rule: &str,
    filters: &[Filter],
) -> Result<(String, Vec<Sql>), RestError> {
    let mut values = Vec::new();
    let mut clause = format!(" WHERE {rule}");
    for filter in filters {
        clause += " AND ";
        clause += &filter.condition(access, &mut values)?;
    }
    Ok((clause, values))
}

/// Whether only PostgREST has this operator.
fn is_missing(operator: &str) -> bool {
    match operator.split_once('(') {
        None => MISSING_OPERATORS.contains(&operator),
        Some((name, "any)" | "all)")) if QUANTIFIED.contains(&name) => true,
        Some((name, language)) => {
            TEXT_SEARCHES.contains(&name) && language.ends_with(')') && language != ")"
        }
    }
}

fn is(word: &str) -> Option<&'static str> {
    Some(match word.to_ascii_lowercase().as_str() {
        "null" | "unknown" => "IS NULL",
        "not_null" => "IS NOT NULL",
        "true" => "IS TRUE",
        "false" => "IS FALSE",
        _ => return None,
    })
}

/// The items of `(a,"b,c",d)`. Like PostgREST, it ignores any text after the parenthesis.
fn list(operand: &str) -> Option<Vec<String>> {
    let mut rest = operand.trim_start().strip_prefix('(')?.trim_start();
    let mut items = Vec::new();
    loop {
        let (item, after) = quoted(rest).unwrap_or_else(|| unquoted(rest));
        items.push(item);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return after.starts_with(')').then_some(items),
        }
    }
}

/// A quoted item and the rest. A backslash escapes the next character.
///
/// An item that continues after its closing quote, or has none, is unquoted: clients quote items
/// with a comma or a parenthesis, but send `"hi" said` as it is.
fn quoted(list: &str) -> Option<(String, &str)> {
    let mut characters = list.strip_prefix('"')?.chars();
    let mut item = String::new();
    loop {
        match characters.next()? {
            '"' => break,
            '\\' => item.push(characters.next()?),
            other => item.push(other),
        }
    }
    let after = characters.as_str();
    (after.is_empty() || after.starts_with([',', ')'])).then_some((item, after))
}

/// An unquoted item and the rest.
fn unquoted(list: &str) -> (String, &str) {
    let (item, after) = list.split_at(list.find([',', ')']).unwrap_or(list.len()));
    (item.to_owned(), after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_items_may_be_quoted() {
        assert_eq!(
            list(r#"(1,"a,b","say \"hi\"",x y)"#).unwrap(),
            ["1", "a,b", "say \"hi\"", "x y"]
        );
        assert_eq!(list("()").unwrap(), [""]);
        assert_eq!(list(" ( 1,2 )").unwrap(), ["1", "2 "]);
        assert_eq!(list("(1,2)3").unwrap(), ["1", "2"]);
        assert_eq!(list("(1,2"), None);
        assert_eq!(list(r#"(1,"2""#), None);
    }

    #[test]
    fn an_item_that_continues_after_its_quote_is_unquoted() {
        assert_eq!(list(r#"("a"b)"#).unwrap(), [r#""a"b"#]);
        assert_eq!(
            list(r#"(nowhere,"hi" said)"#).unwrap(),
            ["nowhere", r#""hi" said"#]
        );
        assert_eq!(
            list(r#"(""hi", she said")"#).unwrap(),
            [r#"""hi""#, r#" she said""#]
        );
        assert_eq!(list(r#"("a,b)"#).unwrap(), [r#""a"#, "b"]);
        assert_eq!(list(r#"(a"b")"#).unwrap(), [r#"a"b""#]);
    }

    #[test]
    fn quantified_and_language_operators_are_not_implemented() {
        for value in [
            "like(any).{a,b}",
            "like(all).{a,b}",
            "ilike(any).{a,b}",
            "ilike(all).{a,b}",
            "not.eq(any).{1,2}",
            "gte(all).{1,2}",
            "imatch(any).{a,b}",
            "fts(english).cat",
            "wfts(simple).cat",
        ] {
            assert_eq!(
                Filter::parse("title", value).unwrap_err().code,
                "PGRST127",
                "{value}"
            );
        }
        for value in [
            "like(some).{a,b}",
            "like().a",
            "cs(any).{a}",
            "neq(any).{1}",
            "in(any).(1)",
            "fts().cat",
            "fts(english.cat",
        ] {
            assert_eq!(
                Filter::parse("title", value).unwrap_err().code,
                "PGRST100",
                "{value}"
            );
        }
    }

    #[test]
    fn a_value_without_an_operator_has_postgrests_error() {
        let error = Filter::parse("id", "noop.0").unwrap_err();
        assert_eq!(
            error.message,
            r#""failed to parse filter (noop.0)" (line 1, column 1)"#
        );
        assert_eq!(
            error.details.unwrap(),
            r#"unexpected "n" expecting "not" or operator (eq, gt, ...)"#
        );
        assert_eq!(Filter::parse("id", "eq").unwrap_err().code, "PGRST100");
        assert_eq!(
            Filter::parse("id", "").unwrap_err().details.unwrap(),
            "unexpected end of input expecting \"not\" or operator (eq, gt, ...)"
        );
    }

    #[test]
    fn an_error_names_the_place_of_a_missing_parenthesis() {
        let error = Filter::parse("id", "in.1,2").unwrap_err();
        assert_eq!(
            error.message,
            r#""failed to parse filter (in.1,2)" (line 1, column 4)"#
        );
        assert_eq!(error.details.unwrap(), r#"unexpected "1" expecting "(""#);
    }

    #[test]
    fn a_compared_value_may_have_dots() {
        let filter = Filter::parse("title", "not.eq.a.b").unwrap();
        assert_eq!(filter.test, Test::Compare("=", "a.b".to_owned()));
        assert!(filter.negated);
    }
}
