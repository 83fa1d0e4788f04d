//! Upkeep of the database that is done again and again, as users write it.

use std::collections::BTreeSet;

use shared::schedule::Schedule;
use shared::work::MaintainParams;
use shared::work::maintain::{Action, Subject, Table, UpkeepName};

use super::fields::Fields;
use super::node::Value;
use super::schedule;
use super::values::parsed;

/// Upkeep of the database that is done again and again.
#[derive(Debug, Clone, PartialEq)]
pub struct Upkeep {
    /// What its schedule is called.
    pub name: UpkeepName,
    /// What is done.
    pub action: Action,
    /// On which tables; where it is needed when empty.
    pub tables: BTreeSet<Table>,
    /// When it is done.
    pub schedule: Schedule,
}

impl Upkeep {
    /// What can be scheduled: what is old is swept each day without being asked for.
    pub const ACTIONS: [Action; 3] = [Action::Vacuum, Action::Analyze, Action::Reindex];

    /// What its tasks are to do.
    #[must_use]
    pub fn params(&self) -> MaintainParams {
        let tables = self.tables.clone();
        let subject = match self.action {
            Action::Vacuum => Subject::Vacuum(tables),
            Action::Analyze => Subject::Analyze(tables),
            Action::Reindex => Subject::Reindex { tables, all: false },
            Action::Sweep => Subject::Old(BTreeSet::new()),
        };
        MaintainParams { subject, dry_run: false }
    }

    /// What a schedule of maintenance does; `None` where definitions have no words for it.
    #[must_use]
    pub fn of(name: UpkeepName, params: MaintainParams, schedule: Schedule) -> Option<Self> {
        let action = params.action();
        let tables = match params.subject {
            Subject::Vacuum(tables) | Subject::Analyze(tables) | Subject::Reindex { tables, .. } => tables,
            Subject::Old(_) => return None,
        };
        Some(Self { name, action, tables, schedule })
    }
}

/// Reads an entry of the list `upkeep`; `None` when a problem was noted.
pub(super) fn read(mut fields: Fields<'_, '_>) -> Option<Upkeep> {
    let before = fields.problems();
    let name = fields.required("name", parsed);
    let action = fields.required("action", action);
    let mut tables = BTreeSet::new();
    for table in fields.optional_list("tables", parsed::<Table>) {
        if !tables.insert(table.value) {
            fields.problem(table.at.line, "tables", format!("{} stands there twice", table.value));
        }
    }
    let schedule = fields.required_below("schedule", "must be a mapping with cron or every");
    let schedule = schedule.and_then(schedule::read);
    let fine = fields.problems() == before;
    fields.finish();
    let (name, action, schedule) = (name?.value, action?.value, schedule?);
    fine.then_some(Upkeep { name, action, tables, schedule })
}

fn action(value: &Value) -> Result<Action, String> {
    let action: Action = parsed(value)?;
    if Upkeep::ACTIONS.contains(&action) {
        return Ok(action);
    }
    let known: Vec<&str> = Upkeep::ACTIONS.iter().map(|action| action.as_str()).collect();
    Err(format!("{action} is done each day without being asked for, use one of: {}", known.join(", ")))
}
