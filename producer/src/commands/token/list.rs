//! `producer token list`

use shared::db::Database;
use shared::db::api_token;
use shared::{clock, terminal};

use crate::commands::{Exit, Failure, shown};

pub(super) async fn run(database: &Database, as_json: bool) -> Result<Exit, Failure> {
    let tokens = api_token::all(&database.client().await?).await?;
    if as_json {
        shown::print_json(&tokens)?;
        return Ok(Exit::Done);
    }
    if tokens.is_empty() {
        shown::print("there are no tokens: `producer token create NAME --role ROLE` makes one")?;
        return Ok(Exit::Done);
    }
    let now = clock::now();
    let mut table = terminal::table(&["name", "role", "holder", "id", "made", "good"]);
    for token in &tokens {
        let good = match (token.revoked_at, token.expires_at) {
            (Some(at), _) => format!("revoked {} ago", shown::age(at, now)),
            (None, Some(at)) if at <= now => format!("expired {} ago", shown::age(at, now)),
            (None, Some(at)) => format!("for {}", shown::age(now, at)),
            (None, None) => "until it is revoked".to_owned(),
        };
        table.add_row([
            shown::line(&token.name, shown::CELL),
            token.role.to_string(),
            token.holder.to_string(),
            token.id.to_string(),
            format!(
                "{} ago by {}",
                shown::age(token.created_at, now),
                shown::line(&token.created_by, shown::CELL)
            ),
            good,
        ]);
    }
    shown::print(&table.to_string())?;
    Ok(Exit::Done)
}
