//! The figure of a simulated day as handwritten SVG: pilots above, calls per minute below.

use std::fmt::Write as _;

use crate::day::{Look, PER_MINUTE};

const WIDTH: f64 = 920.0;
const HEIGHT: f64 = 600.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 28.0;

const STYLE: &str = "text{font-family:Helvetica,Arial,sans-serif;font-size:14px;fill:#222}\
.small{font-size:12px;fill:#555}.axis{stroke:#444;fill:none}.grid{stroke:#ddd}\
.running{fill:#3b76b0}.queued{fill:#f2b35e}.calls{fill:#6b6b6b}\
.wanted{fill:none;stroke:#111;stroke-width:1.6}\
.max{stroke:#b2182b;stroke-width:1.6;stroke-dasharray:7 4}.shade{fill:#000;fill-opacity:.09}";

/// A panel: a range of values on a range of heights.
struct Panel {
    top: f64,
    bottom: f64,
    most: f64,
    /// Whether the axis is logarithmic, from 1.
    logarithmic: bool,
}

impl Panel {
    fn y(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            value.clamp(1.0, self.most).log10() / self.most.log10()
        } else {
            value.clamp(0.0, self.most) / self.most
        };
        self.bottom - share * (self.bottom - self.top)
    }

    /// Draws the grid and its labels.
    fn axes(&self, svg: &mut String, ticks: &[u32], label: &str) {
        let end = WIDTH - RIGHT;
        for tick in ticks {
            let y = self.y(f64::from(*tick));
            line(svg, "grid", (LEFT, y), (end, y));
            text(svg, (LEFT - 8.0, y + 4.0), "small\" text-anchor=\"end", &tick.to_string());
        }
        for hour in (0..=24).step_by(3) {
            let x = x(f64::from(hour) * 60.0);
            line(svg, "axis", (x, self.bottom), (x, self.bottom + 5.0));
            let at = (x, self.bottom + 19.0);
            text(svg, at, "small\" text-anchor=\"middle", &hour.to_string());
        }
        line(svg, "axis", (LEFT, self.bottom), (end, self.bottom));
        line(svg, "axis", (LEFT, self.top), (LEFT, self.bottom));
        let middle = f64::midpoint(self.top, self.bottom);
        writeln!(
            svg,
            r#"<text transform="translate(18 {middle:.0}) rotate(-90)" text-anchor="middle">{label}</text>"#
        )
        .unwrap();
    }

    /// Draws the area between two series of one value per minute, as steps.
    fn area(&self, svg: &mut String, class: &str, low: &[f64], high: &[f64]) {
        let mut path = self.steps(high);
        let mut last = f64::NAN;
        for (i, value) in low.iter().enumerate().rev() {
            if value.to_bits() != last.to_bits() {
                write!(path, "H{:.1}V{:.1}", x(at(i + 1)), self.y(*value)).unwrap();
            }
            last = *value;
        }
        write!(path, "H{:.1}", x(0.0)).unwrap();
        writeln!(svg, r#"<path class="{class}" d="{path}Z"/>"#).unwrap();
    }

    fn steps(&self, values: &[f64]) -> String {
        let mut path = String::new();
        let mut last = f64::NAN;
        for (i, value) in values.iter().enumerate() {
            let y = self.y(*value);
            if i == 0 {
                write!(path, "M{:.1} {y:.1}", x(0.0)).unwrap();
            } else if value.to_bits() != last.to_bits() {
                write!(path, "H{:.1}V{y:.1}", x(at(i))).unwrap();
            }
            last = *value;
        }
        write!(path, "H{:.1}", x(at(values.len()))).unwrap();
        path
    }
}

fn at(minute: usize) -> f64 {
    f64::from(u32::try_from(minute).unwrap())
}

fn x(minute: f64) -> f64 {
    LEFT + minute / (24.0 * 60.0) * (WIDTH - LEFT - RIGHT)
}

fn line(svg: &mut String, class: &str, from: (f64, f64), to: (f64, f64)) {
    let ((x1, y1), (x2, y2)) = (from, to);
    writeln!(svg, r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#)
        .unwrap();
}

fn text(svg: &mut String, (x, y): (f64, f64), class: &str, text: &str) {
    writeln!(svg, r#"<text class="{class}" x="{x:.1}" y="{y:.1}">{text}</text>"#).unwrap();
}

/// Draws the legend.
fn legend(svg: &mut String) {
    let entries = [
        ("running", "running", 92.0),
        ("queued", "queued", 92.0),
        ("wanted", "wanted: trials that have not ended (cut off above 600)", 430.0),
        ("max", "max", 60.0),
    ];
    let mut left = LEFT;
    for (class, name, width) in entries {
        if matches!(class, "running" | "queued") {
            writeln!(svg, r#"<rect class="{class}" x="{left}" y="13" width="18" height="12"/>"#)
                .unwrap();
        } else {
            line(svg, class, (left, 19.0), (left + 22.0, 19.0));
        }
        text(svg, (left + 27.0, 24.0), "", name);
        left += width;
    }
}

/// Draws a named period of the day.
pub(crate) type Stretch = (u64, u64, &'static str);

fn shade(svg: &mut String, panels: &[&Panel], stretches: &[Stretch]) {
    for (from, to, name) in stretches {
        let minute = |minute: u64| f64::from(u32::try_from(minute).unwrap());
        let (left, right) = (x(minute(*from)), x(minute(*to)));
        for panel in panels {
            let (top, width) = (panel.top, right - left);
            let height = panel.bottom - top;
            writeln!(
                svg,
                r#"<rect class="shade" x="{left:.1}" y="{top}" width="{width:.1}" height="{height}"/>"#
            )
            .unwrap();
        }
        let middle = f64::midpoint(left, right);
        text(svg, (middle, panels[0].top - 6.0), "small\" text-anchor=\"middle", name);
    }
}

/// Draws the figure.
pub(crate) fn draw(looks: &[Look], max: u64, stretches: &[Stretch]) -> String {
    let pilots = Panel { top: 58.0, bottom: 370.0, most: 600.0, logarithmic: false };
    let cost = Panel { top: 430.0, bottom: 545.0, most: 1000.0, logarithmic: true };
    let float = |value: u64| f64::from(u32::try_from(value).unwrap());
    let minutes = || looks.chunks(PER_MINUTE);
    let last = |of: fn(&Look) -> u64| -> Vec<f64> {
        minutes().map(|looks| float(of(looks.last().unwrap()))).collect()
    };
    let running = last(|look| look.running);
    let all = last(|look| look.running + look.queued);
    let wanted = last(|look| look.wanted);
    let calls = |looks: &[Look]| float(looks.iter().map(|look| look.calls.total()).sum());
    let calls: Vec<f64> = minutes().map(calls).collect();
    let zero = vec![0.0; calls.len()];

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\">\n<title>A simulated day of a fleet of at most {max} pilots</title>\n<style>{STYLE}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    legend(&mut svg);
    pilots.axes(&mut svg, &[0, 100, 200, 300, 400, 500, 600], "pilots");
    pilots.area(&mut svg, "running", &zero, &running);
    pilots.area(&mut svg, "queued", &running, &all);
    writeln!(svg, r#"<path class="wanted" d="{}"/>"#, pilots.steps(&wanted)).unwrap();
    let y = pilots.y(float(max));
    line(&mut svg, "max", (LEFT, y), (WIDTH - RIGHT, y));
    cost.axes(&mut svg, &[1, 10, 100, 1000], "calls per minute");
    cost.area(&mut svg, "calls", &zero, &calls);
    shade(&mut svg, &[&pilots, &cost], stretches);
    let middle = f64::midpoint(LEFT, WIDTH - RIGHT);
    text(&mut svg, (middle, HEIGHT - 12.0), "\" text-anchor=\"middle", "time of day (hours)");
    svg + "</svg>\n"
}
