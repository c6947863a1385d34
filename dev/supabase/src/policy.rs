//! Who sees what: the roles, the row-level rule and the column rights of the sample table.

use crate::{
    error::RestError,
    schema::{Column, Table, quote},
};

/// The database role that a request runs as.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Role {
    Anon,
    Service,
}

/// Row-level security for the anonymous role: `CREATE POLICY … FOR SELECT USING (published)`, no policy for writing,
/// and no right to read the hidden columns.
#[derive(Debug)]
struct Policy {
    table: &'static str,
    using: &'static str,
    hidden: &'static [&'static str],
}

const POLICIES: [Policy; 1] = [Policy {
    table: "articles",
    using: "published = true",
    hidden: &["editor_notes"],
}];

/// A table as one role may use it. Tables without a policy are open to every role, as on a Supabase project that has not
/// switched row-level security on for them.
pub(crate) struct Access {
    pub table: Table,
    policy: Option<&'static Policy>,
    strict_columns: bool,
}

impl Access {
    pub fn new(table: Table, role: Role, strict_columns: bool) -> Self {
        let policy = match role {
            Role::Service => None,
            Role::Anon => POLICIES.iter().find(|policy| policy.table == table.name),
        };
        Self {
            table,
            policy,
            strict_columns,
        }
    }

    /// The condition on rows that the role sees.
    pub fn visible(&self) -> &'static str {
        self.policy.map_or("true", |policy| policy.using)
    }

    /// The condition on rows that the role may change or delete. A role without a policy for it finds no rows: row-level
    /// security hides them from `UPDATE` and `DELETE` without an error.
    pub fn changeable(&self) -> &'static str {
        self.policy.map_or("true", |_| "false")
    }

    /// Whether the role may insert at all.
    pub fn check_insert(&self) -> Result<(), RestError> {
        match self.policy {
            None => Ok(()),
            Some(_) => Err(RestError::insufficient_privilege(format!(
                "new row violates row-level security policy for table {}",
                quote(&self.table.name)
            ))),
        }
    }

    /// A column by name, for reading: 42703 if there is none, 42501 if the role may not read it.
    pub fn readable(&self, name: &str) -> Result<&Column, RestError> {
        let column = self.table.column(name).ok_or_else(|| {
            RestError::new(
                400,
                "42703",
                format!("column {}.{name} does not exist", self.table.name),
            )
        })?;
        if self.hides(column) {
            return Err(self.permission_denied());
        }
        Ok(column)
    }

    /// What `*` stands for.
    pub fn star(&self) -> Result<Vec<&Column>, RestError> {
        let columns: Vec<_> = self
            .table
            .columns
            .iter()
            .filter(|column| !self.hides(column))
            .collect();
        if self.strict_columns && columns.len() < self.table.columns.len() {
            return Err(self.permission_denied());
        }
        Ok(columns)
    }

    fn hides(&self, column: &Column) -> bool {
        self.policy
            .is_some_and(|policy| policy.hidden.contains(&column.name.as_str()))
    }

    fn permission_denied(&self) -> RestError {
        RestError::insufficient_privilege(format!(
            "permission denied for table {}",
            self.table.name
        ))
    }
}
