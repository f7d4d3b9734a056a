//! Line charts as SVG: panels in a row, each with its own axes, and one legend below them.

use std::fmt::Write;

use serde::Serialize;

/// Colours that people with any colour vision tell apart (Okabe and Ito 2008, without the yellow that paper swallows).
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];

const PANEL: [f64; 2] = [400.0, 270.0];
const LEFT: f64 = 70.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 50.0;
const LEGEND_LINE: f64 = 20.0;
const FONT: f64 = 13.0;

/// Mean width of a character in font sizes, for laying out the legend.
const CHARACTER: f64 = 0.55;

/// Points are marked where a line has at most so many.
const MARKED: usize = 60;

/// About how many ticks an axis has.
const TICKS: f64 = 6.0;

/// One panel.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Chart {
    /// Above the panel.
    pub title: String,
    /// Below the x axis, with the unit; the axis begins at 0.
    pub x: String,
    /// Beside the y axis, with the unit.
    pub y: String,
    /// Whether the y axis is logarithmic; values that are not above 0 are then left out.
    pub logarithmic: bool,
    /// The lines.
    pub lines: Vec<Line>,
    /// Levels that lines are to be compared with.
    pub levels: Vec<Level>,
}

/// A line of a chart.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Number of the line's name in the legend, which also gives its colour.
    pub series: usize,
    /// x and y in rising order of x; points that are not finite are left out.
    pub points: Vec<[f64; 2]>,
}

/// A dashed horizontal line with its name written on it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Level {
    /// What it is.
    pub name: String,
    /// Where it is.
    pub y: f64,
}

/// The charts side by side as an SVG document; `legend` names the series.
pub fn svg(charts: &[Chart], legend: &[String]) -> String {
    let width = (LEFT + PANEL[0] + RIGHT) * charts.len().max(1) as f64;
    let (legend, legend_height) = legend_entries(legend, width);
    let height = TOP + PANEL[1] + BOTTOM + legend_height;
    let panels: String = charts.iter().enumerate().map(|(number, chart)| panel(chart, number)).collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"{FONT}\" fill=\"#222\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n{panels}\
         <g transform=\"translate(0 {})\">\n{legend}</g>\n</svg>\n",
        TOP + PANEL[1] + BOTTOM,
    )
}

/// The entries row by row, each row centred, and the height they take.
fn legend_entries(names: &[String], width: f64) -> (String, f64) {
    let extent = |name: &str| 34.0 + CHARACTER * FONT * name.chars().count() as f64 + 22.0;
    let mut rows: Vec<(f64, Vec<(usize, &String)>)> = Vec::new();
    for (series, name) in names.iter().enumerate() {
        match rows.last_mut() {
            Some((used, row)) if *used + extent(name) <= width => {
                *used += extent(name);
                row.push((series, name));
            }
            _ => rows.push((extent(name), vec![(series, name)])),
        }
    }
    let mut text = String::new();
    for (number, (used, row)) in rows.iter().enumerate() {
        let (mut x, y) = ((width - used) / 2.0 + 11.0, LEGEND_LINE * number as f64 + 6.0);
        for &(series, name) in row {
            let (colour, end, words) = (colour(series), x + 26.0, x + 34.0);
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(
                text,
                "<path d=\"M{x:.1} {y}H{end:.1}\" stroke=\"{colour}\" stroke-width=\"2.2\"/>\
                 <text x=\"{words:.1}\" y=\"{}\">{}</text>",
                y + 0.35 * FONT,
                escaped(name)
            );
            x += extent(name);
        }
    }
    (text, LEGEND_LINE * rows.len() as f64 + 6.0)
}

fn panel(chart: &Chart, number: usize) -> String {
    let points = || chart.lines.iter().flat_map(|line| &line.points).filter(|point| chart.shows(point));
    let levels = chart.levels.iter().map(|level| level.y).filter(|&y| chart.shows(&[0.0, y]));
    let x = Axis::linear(points().map(|point| point[0]).chain([0.0]), PANEL[0]);
    let ys = points().map(|point| point[1]).chain(levels);
    let y = if chart.logarithmic { Axis::logarithmic(ys, PANEL[1]) } else { Axis::linear(ys, PANEL[1]) };
    let at = |&[px, py]: &[f64; 2]| [x.place(px), PANEL[1] - y.place(py)];

    let [width, height] = PANEL;
    let mut text = format!("<g transform=\"translate({} {TOP})\">\n", LEFT + (LEFT + PANEL[0] + RIGHT) * number as f64);
    for (tick, label) in &x.ticks {
        let place = x.place(*tick);
        let _ = writeln!(
            text,
            "<path d=\"M{place:.1} 0V{height}\" stroke=\"#e6e6e6\"/>\
             <text x=\"{place:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            height + 18.0
        );
    }
    for (tick, label) in &y.ticks {
        let place = height - y.place(*tick);
        let _ = writeln!(
            text,
            "<path d=\"M0 {place:.1}H{width}\" stroke=\"#e6e6e6\"/>\
             <text x=\"-7\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            place + 0.35 * FONT
        );
    }
    let _ = writeln!(text, "<path d=\"M0 0V{height}H{width}\" fill=\"none\" stroke=\"#444\"/>");
    let _ = writeln!(
        text,
        "<text x=\"{}\" y=\"-14\" text-anchor=\"middle\" font-weight=\"bold\">{}</text>\n\
         <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n\
         <text transform=\"translate(-54 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        width / 2.0,
        escaped(&chart.title),
        width / 2.0,
        height + 40.0,
        escaped(&chart.x),
        height / 2.0,
        escaped(&chart.y)
    );
    for level in chart.levels.iter().filter(|level| chart.shows(&[0.0, level.y])) {
        let place = height - y.place(level.y);
        let _ = writeln!(
            text,
            "<path d=\"M0 {place:.1}H{width}\" stroke=\"#777\" stroke-dasharray=\"5 4\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#777\" font-size=\"12\">{}</text>",
            width - 4.0,
            place - 5.0,
            escaped(&level.name)
        );
    }
    for line in &chart.lines {
        let shown: Vec<[f64; 2]> = line.points.iter().filter(|point| chart.shows(point)).map(at).collect();
        let path: Vec<String> = shown.iter().map(|[px, py]| format!("{px:.1} {py:.1}")).collect();
        let colour = colour(line.series);
        let _ = writeln!(
            text,
            "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-linejoin=\"round\"/>",
            path.join("L")
        );
        for [px, py] in shown.iter().filter(|_| shown.len() <= MARKED) {
            let _ = writeln!(text, "<circle cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"2.8\" fill=\"{colour}\"/>");
        }
    }
    text + "</g>\n"
}

impl Chart {
    fn shows(&self, [x, y]: &[f64; 2]) -> bool {
        x.is_finite() && y.is_finite() && !(self.logarithmic && *y <= 0.0)
    }
}

fn colour(series: usize) -> &'static str {
    COLOURS[series % COLOURS.len()]
}

pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// From values to places along an axis, with round ticks.
struct Axis {
    logarithmic: bool,
    /// Ends of the axis; logarithms to base 10 where it is logarithmic.
    low: f64,
    high: f64,
    length: f64,
    /// Value and label.
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Ends on the ticks around all values; the steps are 1, 2 or 5 times a power of ten.
    fn linear(values: impl Iterator<Item = f64>, length: f64) -> Axis {
        let (low, high) = ends(values);
        let (low, high) = if low == high { (low - 0.5, high + 0.5) } else { (low, high) };
        let exact = (high - low) / TICKS;
        let power = 10_f64.powf(exact.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= exact);
        let step = step.unwrap_or(10.0 * power);
        // A little play, so that 0.3 / 0.1 counts as 3.
        let (first, last) = ((low / step + 1e-9).floor() as i64, (high / step - 1e-9).ceil() as i64);
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let tick = |number: i64| (number as f64 * step, format!("{:.decimals$}", number as f64 * step));
        let (low, high) = (first as f64 * step, last as f64 * step);
        Axis { logarithmic: false, low, high, length, ticks: (first..=last).map(tick).collect() }
    }

    /// Ends a little beyond the values; ticks at the powers of ten, and between them as far as there is room.
    fn logarithmic(values: impl Iterator<Item = f64>, length: f64) -> Axis {
        let (low, high) = ends(values.map(f64::log10));
        let margin = 0.05 * (high - low).max(0.2);
        let (low, high) = (low - margin, high + margin);
        let factors: &[f64] = match high - low {
            ..=1.0 => &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
            ..=3.0 => &[1.0, 2.0, 5.0],
            _ => &[1.0],
        };
        let ticks = (low.floor() as i32..=high.floor() as i32)
            .flat_map(|power| factors.iter().map(move |factor| (factor * 10_f64.powi(power), power)))
            .filter(|(value, _)| (low..=high).contains(&value.log10()))
            .map(|(value, power)| (value, format!("{value:.*}", (-power).max(0) as usize)));
        Axis { logarithmic: true, low, high, length, ticks: ticks.collect() }
    }

    /// Where a value lies, from the start of the axis.
    fn place(&self, value: f64) -> f64 {
        let value = if self.logarithmic { value.log10() } else { value };
        (value - self.low) / (self.high - self.low) * self.length
    }
}

/// The least and the greatest; 0 and 1 where there is none.
fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values
        .fold(None, |ends, v| Some(ends.map_or((v, v), |(low, high): (f64, f64)| (low.min(v), high.max(v)))))
        .unwrap_or((0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_enclose_the_values() {
        let axis = Axis::linear([26.7, 59.7].into_iter(), 100.0);
        assert_eq!(labels(&axis), ["20", "30", "40", "50", "60"]);
        assert_eq!((axis.place(20.0), axis.place(60.0)), (0.0, 100.0));
        assert_eq!(labels(&Axis::linear([0.0, 0.5].into_iter(), 1.0)), ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5"]);
        assert_eq!(labels(&Axis::linear([3.0, 3.0].into_iter(), 1.0)).first(), Some(&"2.4"));
        assert!(!Axis::linear(std::iter::empty(), 1.0).ticks.is_empty());
    }

    #[test]
    fn a_logarithmic_axis_has_its_decades_at_equal_distances() {
        let axis = Axis::logarithmic([0.001, 0.1].into_iter(), 100.0);
        let [a, b, c] = [0.001, 0.01, 0.1].map(|value| axis.place(value));
        assert!((b - a - (c - b)).abs() < 1e-9 && a > 0.0 && c < 100.0, "{a} {b} {c}");
        assert_eq!(labels(&axis), ["0.001", "0.002", "0.005", "0.01", "0.02", "0.05", "0.1"]);
    }

    #[test]
    fn names_cannot_break_the_document_and_what_is_not_finite_is_not_drawn() {
        let points = vec![[1.0, 2.0], [2.0, f64::NAN], [3.0, f64::INFINITY], [4.0, 3.0]];
        let chart = Chart { title: "a < b & c".into(), lines: vec![Line { series: 0, points }], ..Chart::default() };
        let text = svg(&[chart], &["<script>".into()]);
        assert!(text.contains("a &lt; b &amp; c") && text.contains("&lt;script&gt;"));
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        assert_eq!(text.matches("<circle").count(), 2);
    }
}
