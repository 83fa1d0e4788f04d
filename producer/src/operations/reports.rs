//! Reports that are asked for: whether whom they are about and by what they are sent is there.

use std::collections::{HashMap, HashSet};

use deadpool_postgres::GenericClient;
use shared::channel::{ChannelName, Means};
use shared::db::{self, channel, job};
use shared::job::JobName;
use shared::limit::Label;
use shared::message::TaskMessage;
use shared::task::TaskKind;
use shared::work::{ReportParams, Work};

/// Reports that can never be made or sent as they are asked for, by their places: why not.
pub(super) async fn impossible<'m, C: GenericClient>(
    client: &C,
    messages: impl Iterator<Item = (usize, &'m TaskMessage)>,
) -> Result<HashMap<usize, String>, db::Error> {
    let asked: Vec<(usize, ReportParams)> =
        messages.filter_map(|(place, message)| Some((place, params(message)?))).collect();
    let named: Vec<&JobName> = asked.iter().filter_map(|(_, params)| params.job.as_ref()).collect();
    let jobs = if named.is_empty() { HashMap::new() } else { job::resolve(client, &named).await? };
    let known: HashSet<&JobName> =
        jobs.iter().filter(|(_, reference)| !reference.removed).map(|(name, _)| name).collect();
    let owners: Vec<&str> =
        asked.iter().filter_map(|(_, params)| params.owner.as_ref()).map(Label::as_str).collect();
    let owners = if owners.is_empty() { HashSet::new() } else { job::owners_among(client, &owners).await? };
    let mailed = asked.iter().any(|(_, params)| !params.mail_to.is_empty());
    let channels = if mailed { channel::all(client).await?.rows } else { Vec::new() };
    let kinds: HashMap<&ChannelName, &Means> =
        channels.iter().map(|channel| (&channel.name, &channel.means)).collect();
    let why = |params: &ReportParams| {
        if let Some(job) = params.job.as_ref().filter(|job| !known.contains(job)) {
            return Some(format!("job: no job is named \"{job}\""));
        }
        if let Some(owner) = params.owner.as_ref().map(Label::as_str).filter(|owner| !owners.contains(*owner))
        {
            return Some(format!("owner: no job has the owner \"{owner}\""));
        }
        params.mail_to.iter().find_map(|channel| match kinds.get(channel) {
            Some(Means::Email(_)) => None,
            Some(other) => {
                Some(format!("mail_to: {channel} is of the kind {}, reports go by email", other.kind()))
            }
            None => Some(format!("mail_to: no channel is named \"{channel}\"")),
        })
    };
    Ok(asked.iter().filter_map(|(place, params)| Some((*place, why(params)?))).collect())
}

fn params(message: &TaskMessage) -> Option<ReportParams> {
    match Work::parse(message.kind, message.params.json()) {
        Ok(Work::Report(params)) if message.kind == TaskKind::Report => Some(params),
        _ => None,
    }
}
