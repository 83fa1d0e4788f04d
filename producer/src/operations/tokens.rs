//! Tokens for commands over HTTP.

use deadpool_postgres::Transaction;
use serde_json::json;
use shared::access::Bearer;
use shared::db::api_token::{self, New, Token};

use super::{Actor, Entry, Refused, record};

/// The longest name, in bytes.
const LONGEST_NAME: usize = 100;

/// Makes a token; what it returns is the only time that the secret is known.
pub(crate) async fn create(
    transaction: &Transaction<'_>,
    new: &New<'_>,
    actor: &Actor,
) -> Result<Bearer, Refused> {
    let is_line = !new.name.trim().is_empty() && !new.name.contains(char::is_control);
    if !is_line || new.name.len() > LONGEST_NAME {
        return Err(Refused::invalid("name", format!("use 1 to {LONGEST_NAME} bytes on one line")));
    }
    let bearer = Bearer::generate();
    if !api_token::insert(transaction, &bearer, new).await? {
        let why = format!("there is a token named {:?} already: revoke it, or use another name", new.name);
        return Err(Refused::Conflict(why));
    }
    let after =
        json!({ "id": bearer.id, "role": new.role, "holder": new.holder, "expires_at": new.expires_at });
    let entry =
        Entry { action: "create", subject: "token", name: new.name, before: None, after: Some(after) };
    record(transaction, actor, &[entry]).await?;
    Ok(bearer)
}

/// Ends a token at once.
pub(crate) async fn revoke(
    transaction: &Transaction<'_>,
    name: &str,
    actor: &Actor,
) -> Result<Token, Refused> {
    let Some(token) = api_token::revoke(transaction, name, &actor.name).await? else {
        return Err(Refused::Missing(format!("no token that is good is named {name:?}")));
    };
    let before = json!({ "id": token.id, "role": token.role, "holder": token.holder });
    let entry = Entry { action: "revoke", subject: "token", name, before: Some(before), after: None };
    record(transaction, actor, &[entry]).await?;
    Ok(token)
}
