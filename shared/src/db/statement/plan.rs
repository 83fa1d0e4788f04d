//! The plan of a statement, without running it.
//!
//! It is the generic plan, which the server makes without looking at any value: PostgreSQL 16 has an option of `explain` for
//! it, and since 12 the plan of a statement that is prepared under `plan_cache_mode = force_generic_plan` is one.

use deadpool_postgres::Client;
use serde::Serialize;
use serde_json::Value;

use super::super::{Database, Error};
use super::Statement;

/// How the server is to write a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// A plan, as far as it was made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The types of what the statement is given, in order.
    pub parameters: Vec<String>,
    /// A string of [`Form::Text`], or the tree of [`Form::Json`].
    pub plan: Value,
}

impl Plan {
    /// The plan as a text.
    #[must_use]
    pub fn text(&self) -> String {
        self.plan.as_str().map_or_else(|| format!("{:#}", self.plan), ToOwned::to_owned)
    }

    /// What the planner thinks that it costs, in its own unit: a page that is read in sequence is 1. Only of [`Form::Json`].
    #[must_use]
    pub fn cost(&self) -> Option<f64> {
        self.plan.pointer("/0/Plan/Total Cost")?.as_f64()
    }
}

/// A planner waits for whoever changes a table; nobody waits for a plan.
const SESSION: &str = "set default_transaction_read_only = on; set plan_cache_mode = force_generic_plan; \
     set lock_timeout = '1s'; set statement_timeout = '5s'";

/// Has the server plan a statement, with the settings that this process's sessions have. It runs on a connection of its own,
/// which is closed afterwards, and never runs the statement.
///
/// # Errors
/// The database's; that of a statement that does not fit the schema too.
pub(super) async fn explain(database: &Database, text: &str, form: Form) -> Result<Plan, Error> {
    let client = session(database).await?;
    explain_text(&client, text, form).await
}

/// A connection on which plans can be made, with the settings that this process's sessions have.
///
/// # Errors
/// The database's.
pub async fn session(database: &Database) -> Result<Client, Error> {
    database.beside(SESSION).await
}

/// As [`explain`], on a connection that [`session`] made.
///
/// # Errors
/// As of [`explain`].
pub async fn explain_on(client: &Client, statement: &Statement, form: Form) -> Result<Plan, Error> {
    explain_text(client, statement.text(), form).await
}

/// As [`explain_on`], of a text that this program made.
///
/// # Errors
/// As of [`explain`].
pub async fn explain_text(client: &Client, text: &str, form: Form) -> Result<Plan, Error> {
    client.batch_execute(&format!("prepare explained as {text}")).await?;
    let explained = explained(client, form).await;
    client.batch_execute("deallocate explained").await?;
    explained
}

async fn explained(client: &Client, form: Form) -> Result<Plan, Error> {
    let types = "select parameter_types::text[] from pg_prepared_statements where name = 'explained'";
    let parameters: Vec<String> = client.query_one(types, &[]).await?.try_get(0)?;
    let nulls = vec!["null"; parameters.len()].join(", ");
    let given = if parameters.is_empty() { String::new() } else { format!("({nulls})") };
    let plan = match form {
        Form::Text => {
            let rows = client.query(&format!("explain (format text) execute explained{given}"), &[]).await?;
            let lines = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<&str>, _>>()?;
            Value::String(lines.join("\n"))
        }
        Form::Json => client
            .query_one(&format!("explain (format json) execute explained{given}"), &[])
            .await?
            .try_get(0)?,
    };
    Ok(Plan { parameters, plan })
}
