//! `ditn gradcheck`

use std::collections::BTreeMap;

use anyhow::Context;
use serde::Serialize;

use super::common::{Common, Status, print, print_json};
use crate::gpu::AdapterReport;
use crate::ops::cases;
use crate::verify::operators::{GRADIENT_TOLERANCE, Tally, check_gradients};

#[derive(Serialize)]
struct Report {
    pass: bool,
    tolerance: f64,
    operators: Vec<Tally>,
    adapter: AdapterReport,
}

/// Checks every differentiable case of every operator.
pub fn run(common: &Common) -> anyhow::Result<Status> {
    let gpu = common.gpu()?;
    let mut rows: BTreeMap<String, Tally> = BTreeMap::new();
    for (seed, case) in cases().iter().enumerate().filter(|(_, case)| !case.differentiable.is_empty()) {
        let error = check_gradients(&gpu, case, seed as u64).with_context(|| case.describe())?;
        let tally = Tally::of(case, error, GRADIENT_TOLERANCE);
        match rows.get_mut(&tally.operator) {
            Some(row) => row.merge(tally),
            None => drop(rows.insert(tally.operator.clone(), tally)),
        }
    }
    let operators: Vec<Tally> = rows.into_values().collect();
    let pass = operators.iter().all(|row| row.pass);
    let report = Report { pass, tolerance: GRADIENT_TOLERANCE, operators, adapter: gpu.report().clone() };
    if common.json {
        print_json(&report)?
    } else {
        print(&table(&report))?
    }
    Ok(if pass { Status::Done } else { Status::CheckFailed })
}

fn table(report: &Report) -> String {
    let width = report.operators.iter().map(|row| row.operator.len()).max().unwrap_or(0);
    let rows: String = report
        .operators
        .iter()
        .map(|row| {
            let verdict = if row.pass { "ok  " } else { "FAIL" };
            format!("{verdict}  {:<width$}  {:>8.1e}  {}\n", row.operator, row.worst_error, row.worst_case)
        })
        .collect();
    let failed = report.operators.iter().filter(|row| !row.pass).count();
    format!(
        "Gradients against central differences in float64, on {}; worst relative error of each operator\n\n{rows}\n{}\n",
        report.adapter.name,
        if failed == 0 {
            format!("All {} operators are within {:.0e}.", report.operators.len(), report.tolerance)
        } else {
            format!("{failed} of {} operators exceed {:.0e}.", report.operators.len(), report.tolerance)
        }
    )
}
