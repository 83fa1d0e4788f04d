//! Table `alert_setting`: what the definitions say of the rules of alerts.

use deadpool_postgres::{GenericClient, Transaction};
use tokio_postgres::types::Json;

use super::readable::Readable;
use super::statement::statement;
use super::{Error, from_json, parsed};
use crate::alert::{Rule, Setting};

/// All of them; one that cannot be read is told by the text of its rule.
pub async fn all<C: GenericClient>(client: &C) -> Result<Readable<(Rule, Setting)>, Error> {
    let statement = statement!("alert_setting.all", "select rule, setting from alert_setting");
    let rows = statement.query(client, &[]).await?;
    let setting = |row: &tokio_postgres::Row| Ok((parsed(row, "rule")?, from_json(row, "setting")?));
    Readable::each(&rows, |row| Ok(row.try_get("rule")?), setting)
}

/// Writes some and takes others away.
pub async fn change(
    transaction: &Transaction<'_>,
    set: &[(Rule, Setting)],
    removed: &[Rule],
) -> Result<(), Error> {
    let removed: Vec<&str> = removed.iter().map(|rule| rule.as_str()).collect();
    statement!("alert_setting.remove", "delete from alert_setting where rule = any($1)")
        .execute(transaction, &[&removed])
        .await?;
    let statement = statement!(
        "alert_setting.upsert",
        "insert into alert_setting (rule, setting) select * from unnest($1::text[], $2::jsonb[])
         on conflict (rule) do update set setting = excluded.setting"
    );
    let rules: Vec<&str> = set.iter().map(|(rule, _)| rule.as_str()).collect();
    let settings: Vec<_> = set.iter().map(|(_, setting)| Json(setting)).collect();
    statement.execute(transaction, &[&rules, &settings]).await?;
    Ok(())
}
