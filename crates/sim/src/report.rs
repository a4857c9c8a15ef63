//! Results as text: JSON lines for programs, SVG plots for readers.

use std::fmt::{self, Write as _};

/// One JSON object on one line, field by field.
///
/// ```
/// let line = unchoke_sim::report::JsonLine::new().text("run", "a \"b\"").number("hosts", 5).decimal("share", 0.25).finish();
/// assert_eq!(line, r#"{"run":"a \"b\"","hosts":5,"share":0.25}"#);
/// ```
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[must_use]
pub struct JsonLine(String);

impl JsonLine {
    /// No fields.
    pub const fn new() -> Self {
        Self(String::new())
    }

    /// A field with text.
    pub fn text(self, name: &str, value: &str) -> Self {
        self.field(name, &Quoted(value))
    }

    /// A field with a whole number.
    pub fn number(self, name: &str, value: u64) -> Self {
        self.field(name, &value)
    }

    /// A field with a decimal number; `null` if it is not finite.
    pub fn decimal(self, name: &str, value: f64) -> Self {
        if value.is_finite() { self.field(name, &value) } else { self.field(name, &"null") }
    }

    /// A field with a list of decimal numbers, all of which should be finite; others become `null`.
    pub fn decimals(self, name: &str, values: &[f64]) -> Self {
        self.field(name, &List(values))
    }

    /// The object, without an end of line.
    #[must_use]
    pub fn finish(self) -> String {
        format!("{{{}}}", self.0)
    }

    fn field(mut self, name: &str, value: &dyn fmt::Display) -> Self {
        let comma = if self.0.is_empty() { "" } else { "," };
        // Writing to a string does not fail.
        let _ = write!(self.0, "{comma}{}:{value}", Quoted(name));
        self
    }
}

struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c < ' ' => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

struct List<'a>(&'a [f64]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('[')?;
        for (at, value) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            if value.is_finite() { write!(f, "{comma}{value}")? } else { write!(f, "{comma}null")? }
        }
        f.write_char(']')
    }
}

/// How one axis of a plot divides its numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Scale {
    /// Equal steps for equal differences.
    Linear,
    /// Equal steps for equal factors; what is not above zero is left out.
    Logarithmic,
}

/// A plot of lines with a legend, 720 by 440 pixels.
///
/// ```
/// use unchoke_sim::report::{Plot, Scale};
/// let mut plot = Plot::new("Lookups", "seconds", "share");
/// plot.horizontal = Scale::Logarithmic;
/// plot.line("alpha 3", &[(0.1, 0.2), (1.0, 0.9), (10.0, 1.0)]);
/// assert!(plot.to_svg().contains("<polyline"));
/// ```
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Plot {
    /// Scale of the horizontal axis.
    pub horizontal: Scale,
    /// Scale of the vertical axis.
    pub vertical: Scale,
    title: String,
    labels: [String; 2],
    series: Vec<Series>,
}

#[derive(Clone, PartialEq, Debug)]
struct Series {
    name: String,
    points: Vec<(f64, f64)>,
}

impl Plot {
    /// A plot without lines, with linear axes. The labels say what the axes show, with the unit.
    #[must_use]
    pub fn new(title: &str, horizontal: &str, vertical: &str) -> Self {
        Self {
            horizontal: Scale::Linear,
            vertical: Scale::Linear,
            title: title.to_owned(),
            labels: [horizontal.to_owned(), vertical.to_owned()],
            series: Vec::new(),
        }
    }

    /// Adds a line through these points. Points that are not finite are left out.
    pub fn line(&mut self, name: &str, points: &[(f64, f64)]) {
        let points = points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
        self.series.push(Series { name: name.to_owned(), points });
    }

    /// Adds the share of values (0 to 1) that do not exceed each value, which is multiplied by `unit`: 0.001 shows microseconds as
    /// milliseconds. At most 500 points are drawn.
    pub fn distribution(&mut self, name: &str, histogram: &mut crate::Histogram, unit: f64) {
        let values = histogram.sorted();
        let step = values.len().div_ceil(500).max(1);
        let last = values.len().saturating_sub(1);
        let wanted = |at: &usize| at.is_multiple_of(step) || *at == last;
        let point = |at: usize| (values[at] as f64 * unit, (at + 1) as f64 / values.len() as f64);
        let points: Vec<(f64, f64)> = (0..values.len()).filter(wanted).map(point).collect();
        self.line(name, &points);
    }

    /// Adds the number of values in each of so many equal bins between the least and the greatest, as steps; values as in
    /// [`distribution`](Self::distribution).
    pub fn bins(&mut self, name: &str, histogram: &mut crate::Histogram, unit: f64, bins: usize) {
        let values = histogram.sorted();
        let (Some(least), Some(greatest)) = (values.first(), values.last()) else { return self.line(name, &[]) };
        let width = (greatest - least).max(1) as f64 / bins.max(1) as f64;
        let mut points = Vec::new();
        let mut rest = values;
        for bin in 0..bins {
            let edge = *least as f64 + width * (bin + 1) as f64;
            let inside = if bin + 1 == bins { rest.len() } else { rest.partition_point(|it| (*it as f64) < edge) };
            points.extend([((edge - width) * unit, inside as f64), (edge * unit, inside as f64)]);
            rest = &rest[inside..];
        }
        self.line(name, &points);
    }

    /// The plot as a file of its own.
    #[must_use]
    pub fn to_svg(&self) -> String {
        let mut svg = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut svg);
        svg
    }

    fn write(&self, svg: &mut String) -> fmt::Result {
        let horizontal = Axis::new(self.horizontal, self.points().map(|it| it.0), LEFT, WIDTH - RIGHT);
        let vertical = Axis::new(self.vertical, self.points().map(|it| it.1), HEIGHT - BOTTOM, TOP);
        writeln!(
            svg,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">"#
        )?;
        writeln!(svg, r#"<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>"#)?;
        let middle = (LEFT + WIDTH - RIGHT) / 2.0;
        writeln!(svg, r#"<text x="{middle}" y="20" text-anchor="middle" font-size="15">{}</text>"#, Text(&self.title))?;
        let [below, beside] = &self.labels;
        let low = HEIGHT - 10.0;
        writeln!(svg, r#"<text x="{middle}" y="{low}" text-anchor="middle">{}</text>"#, Text(below))?;
        let half = (TOP + HEIGHT - BOTTOM) / 2.0;
        writeln!(
            svg,
            r#"<text x="16" y="{half}" text-anchor="middle" transform="rotate(-90 16 {half})">{}</text>"#,
            Text(beside)
        )?;
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for tick in horizontal.ticks() {
            let (x, y) = (horizontal.place(tick), bottom + 16.0);
            writeln!(svg, r##"<path d="M{x:.1} {TOP}V{bottom}" stroke="#ddd"/>"##)?;
            writeln!(svg, r#"<text x="{x:.1}" y="{y}" text-anchor="middle">{}</text>"#, Figure(tick))?;
        }
        for tick in vertical.ticks() {
            let (x, y) = (LEFT - 6.0, vertical.place(tick));
            writeln!(svg, r##"<path d="M{LEFT} {y:.1}H{right}" stroke="#ddd"/>"##)?;
            writeln!(svg, r#"<text x="{x}" y="{:.1}" text-anchor="end">{}</text>"#, y + 4.0, Figure(tick))?;
        }
        for (series, (color, number)) in self.series.iter().zip(COLORS.iter().cycle().zip(0_u32..)) {
            write!(svg, r#"<polyline fill="none" stroke="{color}" stroke-width="1.8" points=""#)?;
            for (x, y) in series.points.iter().filter(|(x, y)| horizontal.shows(*x) && vertical.shows(*y)) {
                write!(svg, "{:.1},{:.1} ", horizontal.place(*x), vertical.place(*y))?;
            }
            writeln!(svg, r#""/>"#)?;
            let y = TOP + 10.0 + 18.0 * f64::from(number);
            writeln!(svg, r#"<path d="M{} {y}h20" stroke="{color}" stroke-width="3"/>"#, right + 10.0)?;
            writeln!(svg, r#"<text x="{}" y="{}">{}</text>"#, right + 36.0, y + 4.0, Text(&series.name))?;
        }
        writeln!(svg, "</svg>")
    }

    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.series.iter().flat_map(|it| it.points.iter().copied())
    }
}

struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '&' => f.write_str("&amp;"),
            c => f.write_char(c),
        })
    }
}

/// The number at a tick, without digits that say nothing.
struct Figure(f64);

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        if size != 0.0 && !(1e-4..1e7).contains(&size) {
            return write!(f, "{:e}", self.0);
        }
        let text = format!("{:.6}", self.0);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// One axis: numbers from `low` to `high` between two pixels.
struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    begin: f64,
    end: f64,
}

impl Axis {
    fn new(scale: Scale, values: impl Iterator<Item = f64>, begin: f64, end: f64) -> Self {
        let values = values.filter(|it| scale == Scale::Linear || *it > 0.0);
        let (low, high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), it| (low.min(it), high.max(it)));
        let (low, high) = match scale {
            _ if low > high => (1.0, 10.0),
            // A linear axis shows zero, so that lengths can be compared.
            Scale::Linear => (low.min(0.0), if high > low.min(0.0) { high } else { low.min(0.0) + 1.0 }),
            Scale::Logarithmic => (10_f64.powf(low.log10().floor()), 10_f64.powf((high * 1.000_001).log10().ceil())),
        };
        Self { scale, low, high, begin, end }
    }

    fn shows(&self, value: f64) -> bool {
        self.scale == Scale::Linear || value > 0.0
    }

    fn place(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Logarithmic => (value / self.low).ln() / (self.high / self.low).ln(),
        };
        self.begin + share * (self.end - self.begin)
    }

    fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => {
                // Steps of 1, 2 or 5 times a power of ten, at most ten of them.
                let raw = (self.high - self.low) / 10.0;
                let power = 10_f64.powf(raw.log10().floor());
                let step = [1.0, 2.0, 5.0, 10.0].map(|it| it * power).into_iter().find(|it| *it >= raw * 0.999);
                let step = step.unwrap_or(power * 10.0);
                let first = (self.low / step).ceil();
                (0..=10).map(|it| (first + f64::from(it)) * step).filter(|it| *it <= self.high * 1.000_001).collect()
            }
            Scale::Logarithmic => {
                let first = self.low.log10().round();
                (0..40).map(|it| 10_f64.powf(first + f64::from(it))).filter(|it| *it <= self.high * 1.000_001).collect()
            }
        }
    }
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 160.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 50.0;
/// Colours that people with any kind of colour vision can tell apart.
const COLORS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Histogram;

    #[test]
    fn what_would_break_the_line_is_escaped() {
        let line = JsonLine::new().text("a\n", "\u{1}\\").decimal("b", f64::NAN).decimals("c", &[1.0, 0.5]).finish();
        assert_eq!(line, "{\"a\\u000a\":\"\\u0001\\\\\",\"b\":null,\"c\":[1,0.5]}");
    }

    #[test]
    fn axes_have_round_ticks_that_enclose_the_values() {
        let linear = Axis::new(Scale::Linear, [3.0, 47.0].into_iter(), 0.0, 100.0);
        assert_eq!(linear.ticks(), (0..10).map(|it| f64::from(it) * 5.0).collect::<Vec<_>>());
        assert!((linear.place(47.0) - 100.0).abs() < 1e-9);
        let logarithmic = Axis::new(Scale::Logarithmic, [0.02, 5.0, -1.0].into_iter(), 0.0, 300.0);
        assert_eq!(logarithmic.ticks().len(), 4);
        assert!((logarithmic.place(0.1) - 100.0).abs() < 1e-9);
        let labels: Vec<String> = [0.1, 5.0, 1e9, 0.0].map(|it| Figure(it).to_string()).into();
        assert_eq!(labels, ["0.1", "5", "1e9", "0"]);
    }

    #[test]
    fn every_value_is_in_one_bin() {
        let mut histogram = Histogram::new();
        (0..1000).for_each(|it| histogram.record(it % 100));
        let mut plot = Plot::new("a < b", "ms", "values");
        plot.bins("x", &mut histogram, 0.001, 7);
        let counted: f64 = plot.series[0].points.iter().step_by(2).map(|it| it.1).sum();
        assert!((counted - 1000.0).abs() < 1e-9);
        plot.distribution("y", &mut histogram, 0.001);
        assert_eq!(plot.series[1].points.last(), Some(&(0.099, 1.0)));
        let svg = plot.to_svg();
        assert!(svg.contains("a &lt; b") && svg.matches("<polyline").count() == 2);
    }
}
