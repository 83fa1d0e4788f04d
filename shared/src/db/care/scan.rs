//! Which index a statement would need that reads a table from end to end.

use serde_json::Value;

/// A table that a plan reads from end to end, to find the rows that some columns have values of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scan {
    /// The table's own name.
    pub table: String,
    /// The columns: those that are to be equal to something, then at most one that lies in a range.
    pub columns: Vec<String>,
}

/// The scans of a plan that an index could spare.
#[must_use]
pub fn of(plan: &Value) -> Vec<Scan> {
    let mut scans = Vec::new();
    gather(&plan[0]["Plan"], &mut scans);
    scans.sort();
    scans.dedup();
    scans
}

fn gather(node: &Value, scans: &mut Vec<Scan>) {
    if node["Node Type"] == "Seq Scan"
        && let (Some(table), Some(filter)) = (node["Relation Name"].as_str(), node["Filter"].as_str())
    {
        let columns = columns(filter);
        if !columns.is_empty() {
            scans.push(Scan { table: table.to_owned(), columns });
        }
    }
    for below in node["Plans"].as_array().into_iter().flatten() {
        gather(below, scans);
    }
}

/// The columns by which a filter could be answered from an index; none where it has alternatives.
fn columns(filter: &str) -> Vec<String> {
    if filter.contains(" OR ") {
        return Vec::new();
    }
    let (mut equal, mut ranged) = (Vec::new(), Vec::new());
    for condition in filter.split(" AND ") {
        let condition = condition.trim_matches(['(', ')', ' ']);
        let Some((column, rest)) = condition.split_once(' ') else { continue };
        let Some((operator, value)) = rest.split_once(' ') else { continue };
        // A constant is part of what the statement is: a partial index would be its answer, which is for a person to find.
        let is_column = column.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !is_column || !value.contains('$') {
            continue;
        }
        let into = match operator {
            "=" => &mut equal,
            "<" | ">" | "<=" | ">=" => &mut ranged,
            _ => continue,
        };
        if !into.iter().any(|known| known == column) {
            into.push(column.to_owned());
        }
    }
    ranged.retain(|column| !equal.contains(column));
    ranged.truncate(1);
    equal.append(&mut ranged);
    equal
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_columns_come_first_and_one_range_after_them() {
        let filter = "((finished_at >= $2) AND (job_id = $1) AND (finished_at < $3) AND (attempt > $4) AND (NOT reported))";
        assert_eq!(columns(filter), ["job_id", "finished_at"]);
        assert_eq!(columns("(id = ANY ($1))"), ["id"]);
    }

    #[test]
    fn what_no_index_of_columns_answers_is_left_out() {
        for filter in [
            "((a = $1) OR (b = $2))",
            "(lower(name) = $1)",
            "(state = 'open'::text)",
            "(forgotten_at IS NULL)",
        ] {
            assert!(columns(filter).is_empty(), "{filter}");
        }
    }

    #[test]
    fn a_scan_is_found_wherever_it_stands_in_the_plan() {
        let scan =
            json!({ "Node Type": "Seq Scan", "Relation Name": "restore_point", "Filter": "(job_id = $1)" });
        let plan =
            json!([{ "Plan": { "Node Type": "Sort", "Plans": [{ "Node Type": "Hash", "Plans": [scan] }] } }]);
        assert_eq!(
            of(&plan),
            [Scan { table: "restore_point".to_owned(), columns: vec!["job_id".to_owned()] }]
        );
    }
}
