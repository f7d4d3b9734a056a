//! Pages of HTML that need nothing beside them.

use std::fmt::{Display, Write};

use crate::plot::escaped;

const STYLE: &str = "
:root { color-scheme: light }
body { font: 15px/1.45 Helvetica, Arial, sans-serif; color: #222; background: #fff; max-width: 1100px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.6em; margin-bottom: .2em } h2 { font-size: 1.2em; margin: 2em 0 .4em; border-bottom: 1px solid #ddd }
p { margin: .4em 0 } .small { color: #666; font-size: 13px }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-size: 13px; margin: .6em 0 } th, td { padding: 3px 10px; text-align: left; border-bottom: 1px solid #eee; vertical-align: top }
th { border-bottom: 2px solid #bbb; white-space: nowrap } .n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.ok { color: #00684b } .bad { color: #b03000; font-weight: bold } .no { color: #888 }
.box { border: 1px solid #b03000; padding: .4em 1em; margin: 1em 0 } svg { max-width: 100%; height: auto }
details { margin: .6em 0 } summary { cursor: pointer }
";

/// A page of this title with this body.
pub(super) fn document(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n",
        escaped(title)
    )
}

/// A cell of a table.
pub(super) struct Cell {
    text: String,
    class: &'static str,
}

/// A cell of text.
pub(super) fn text(text: impl Display) -> Cell {
    Cell { text: escaped(&text.to_string()), class: "" }
}

/// A cell with a number.
pub(super) fn number(number: impl Display) -> Cell {
    Cell { text: escaped(&number.to_string()), class: "n" }
}

/// A cell with a verdict.
pub(super) fn verdict(pass: bool) -> Cell {
    if pass { Cell { text: "ok".into(), class: "ok" } } else { Cell { text: "FAIL".into(), class: "bad" } }
}

/// A cell for what is not there.
pub(super) fn nothing() -> Cell {
    Cell { text: "&ndash;".into(), class: "n no" }
}

/// A table; headings of columns of numbers stand to the right as these do.
pub(super) fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<Cell>>) -> String {
    let rows: Vec<Vec<Cell>> = rows.into_iter().collect();
    let is_number = |column: usize| rows.iter().any(|row| row.get(column).is_some_and(|cell| cell.class == "n"));
    let mut out = String::from("<div class=\"scroll\"><table>\n<tr>");
    // Writing to a String cannot fail.
    for (column, heading) in headings.iter().enumerate() {
        let class = if is_number(column) { " class=\"n\"" } else { "" };
        let _ = write!(out, "<th{class}>{}</th>", escaped(heading));
    }
    out += "</tr>\n";
    for row in &rows {
        out += "<tr>";
        for Cell { text, class } in row {
            let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
            let _ = write!(out, "<td{class}>{text}</td>");
        }
        out += "</tr>\n";
    }
    out + "</table></div>\n"
}

/// A heading.
pub(super) fn heading(title: &str) -> String {
    format!("<h2>{}</h2>\n", escaped(title))
}

/// A paragraph in small print.
pub(super) fn small(text: &str) -> String {
    format!("<p class=\"small\">{}</p>\n", escaped(text))
}

/// What opens on a click.
pub(super) fn details(summary: &str, body: &str) -> String {
    format!("<details><summary>{}</summary>\n{body}</details>\n", escaped(summary))
}

/// A number with three digits that count: 0.0123, 1.23, 12.3, 1230.
pub(super) fn three(value: f64) -> String {
    if !value.is_finite() {
        return "not a number".into();
    }
    let digits = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    format!("{value:.*}", (2 - digits).clamp(0, 6) as usize)
}

/// Seconds as milliseconds.
pub(super) fn ms(seconds: f64) -> String {
    three(1e3 * seconds)
}

/// A share in percent.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}
