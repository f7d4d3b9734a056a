//! The roofline (Williams, Waterman and Patterson 2009): each kernel's rate over its operations a byte, below the two
//! ceilings of the adapter. The area of a point is the kernel's share of the time.

use std::fmt::Write;

use super::{Ceiling, KernelTime};
use crate::plot::escaped;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;

/// Colours by what the pass begins with (Okabe and Ito 2008).
const COLOURS: [(&str, &str); 4] =
    [("forward", "#0072b2"), ("backward_input", "#d55e00"), ("backward_weight", "#009e73"), ("backward", "#cc79a7")];

/// The kernels under the ceiling of the adapter of this name, as an SVG document.
pub fn roofline(adapter: &str, ceiling: &Ceiling, kernels: &[KernelTime]) -> String {
    let intensity = |flops: f64, bytes: f64| (flops / bytes.max(1e-12)).max(1e-3);
    let points: Vec<(f64, f64)> =
        kernels.iter().map(|kernel| (intensity(kernel.gflops, kernel.gbps), kernel.gflops.max(1e-3))).collect();
    let ridge = ceiling.gflops / ceiling.gbps;
    let decades = |values: &mut dyn Iterator<Item = f64>| {
        let (low, high) = values.fold((f64::INFINITY, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)));
        (low.log10().floor(), high.log10().ceil().max(low.log10().floor() + 1.0))
    };
    let x_axis = decades(&mut points.iter().map(|point| point.0).chain([ridge]));
    let y_axis = decades(&mut points.iter().map(|point| point.1).chain([ceiling.gflops]));
    let x = |value: f64| LEFT + (value.log10() - x_axis.0) / (x_axis.1 - x_axis.0) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - (value.log10() - y_axis.0) / (y_axis.1 - y_axis.0) * (HEIGHT - TOP - BOTTOM);

    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\" fill=\"#222\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{}: {:.0} GFLOP/s, {:.0} GB/s</text>\n",
        escaped(adapter),
        ceiling.gflops,
        ceiling.gbps
    );
    // Writing to a String cannot fail.
    for decade in x_axis.0 as i32..=x_axis.1 as i32 {
        let (at, value) = (x(10f64.powi(decade)), 10f64.powi(decade));
        let _ = writeln!(
            text,
            "<path d=\"M{at:.1} {TOP}V{:.1}\" stroke=\"#ddd\"/><text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{value}</text>",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 16.0
        );
    }
    for decade in y_axis.0 as i32..=y_axis.1 as i32 {
        let (at, value) = (y(10f64.powi(decade)), 10f64.powi(decade));
        let _ = writeln!(
            text,
            "<path d=\"M{LEFT} {at:.1}H{:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0
        );
    }
    let lowest = 10f64.powf(x_axis.0);
    let _ = writeln!(
        text,
        "<path d=\"M{:.1} {:.1}L{:.1} {:.1}H{:.1}\" fill=\"none\" stroke=\"#222\" stroke-width=\"2\"/>",
        x(lowest),
        y((lowest * ceiling.gbps).max(10f64.powf(y_axis.0))),
        x(ridge),
        y(ceiling.gflops),
        WIDTH - RIGHT
    );
    let total: f64 = kernels.iter().map(|kernel| kernel.seconds * kernel.count as f64).sum();
    for (kernel, point) in kernels.iter().zip(&points) {
        let share = kernel.seconds * kernel.count as f64 / total.max(1e-12);
        let colour =
            COLOURS.iter().find(|(pass, _)| kernel.pass.starts_with(pass)).map_or("#222", |(_, colour)| colour);
        let _ = writeln!(
            text,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{:.1}\" fill=\"{colour}\" fill-opacity=\"0.55\"><title>{} {} {} {}: {:.1} \
             GFLOP/s, {:.0} % of the ceiling</title></circle>",
            x(point.0),
            y(point.1),
            2.0 + 30.0 * share.sqrt(),
            kernel.operator,
            kernel.pass,
            kernel.case,
            kernel.variant,
            kernel.gflops,
            100.0 * kernel.share
        );
    }
    for (number, (pass, colour)) in COLOURS.iter().enumerate() {
        let at = LEFT + 10.0 + 140.0 * number as f64;
        let _ = writeln!(
            text,
            "<circle cx=\"{at}\" cy=\"{:.1}\" r=\"5\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{:.1}\">{pass}</text>",
            TOP - 8.0,
            at + 9.0,
            TOP - 4.0
        );
    }
    let _ = writeln!(
        text,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">operations a byte</text>\n\
         <text transform=\"translate(16 {:.1}) rotate(-90)\" text-anchor=\"middle\">GFLOP/s</text>\n</svg>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 10.0,
        (TOP + HEIGHT - BOTTOM) / 2.0
    );
    text
}
