//! Permissions: the roles, and the row-level and column permissions of the sample table.

use crate::{
    error::RestError,
    schema::{Column, Table, quote},
};

/// The database role of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Role {
    Anon,
    Service,
}

/// Row-level security of the anonymous role: `CREATE POLICY … FOR SELECT USING (published)`, no
/// policy for writes, and no permission to read the hidden columns.
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

/// The access of one role to a table. Tables without a policy are open to every role, as in
/// Supabase without row-level security.
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

    /// The condition on rows that the role may read.
    pub fn visible(&self) -> &'static str {
        self.policy.map_or("true", |policy| policy.using)
    }

    /// The condition on rows that the role may change or delete. Without a policy for writes,
    /// row-level security hides all rows from `UPDATE` and `DELETE` instead of causing an error.
    pub fn changeable(&self) -> &'static str {
        self.policy.map_or("true", |_| "false")
    }

    /// Checks that the role may insert.
    pub fn check_insert(&self) -> Result<(), RestError> {
        match self.policy {
            None => Ok(()),
            Some(_) => Err(RestError::insufficient_privilege(format!(
                "new row violates row-level security policy for table {}",
                quote(&self.table.name)
            ))),
        }
    }

    /// A column to read: 42703 if there is none, 42501 if the role may not read it.
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

    /// The columns of `*`.
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
