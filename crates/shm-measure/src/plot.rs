//! Pictures of tables: lines over message sizes, both axes logarithmic, as SVG. Nothing of the system is needed for it;
//! whoever shows the picture chooses the font.

use crate::{Failure, Result};
use plotters::prelude::*;
use std::path::Path;

const SIZE: (u32, u32) = (900, 520);
const FONT: &str = "sans-serif";
/// Told apart by people who see no red or no green as well.
const COLOURS: [(u8, u8, u8); 8] = [
    (0, 114, 178),
    (213, 94, 0),
    (0, 158, 115),
    (204, 121, 167),
    (86, 180, 233),
    (230, 159, 0),
    (90, 90, 90),
    (148, 103, 189),
];

/// A line: its name, and its points by size.
#[derive(Clone, Debug)]
pub struct Line {
    /// What the legend says.
    pub name: String,
    /// Size and value, in the order of sizes.
    pub points: Vec<(f64, f64)>,
}

/// Draws lines over sizes.
///
/// # Errors
/// When there is nothing to draw, or the file can not be written.
pub fn lines(path: &Path, title: &str, values: &str, lines: &[Line]) -> Result<()> {
    let drawing = svg(title, values, lines)?;
    std::fs::write(path, drawing).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn svg(title: &str, values: &str, lines: &[Line]) -> Result<String> {
    let points: Vec<(f64, f64)> = lines.iter().flat_map(|line| line.points.iter().copied()).collect();
    let range = |of: fn(&(f64, f64)) -> f64| {
        let least = points.iter().map(of).fold(f64::INFINITY, f64::min);
        let most = points.iter().map(of).fold(0.0, f64::max);
        (least, most)
    };
    let ((left, right), (bottom, top)) = (range(|point| point.0), range(|point| point.1));
    if points.is_empty() || left <= 0.0 || bottom <= 0.0 {
        return Err("nothing to draw".into());
    }
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, (FONT, 20))
            .margin(12)
            .x_label_area_size(42)
            .y_label_area_size(72)
            .build_cartesian_2d((left * 0.8..right * 1.25).log_scale(), (bottom * 0.6..top * 2.0).log_scale())
            .map_err(failed)?;
        chart
            .configure_mesh()
            .x_desc("bytes in a message")
            .y_desc(values)
            .x_label_formatter(&|bytes| bytes_text(*bytes))
            .y_label_formatter(&|value| format!("{value}"))
            .label_style((FONT, 13))
            .light_line_style(RGBColor(235, 235, 235))
            .draw()
            .map_err(failed)?;
        for (line, &(red, green, blue)) in lines.iter().zip(COLOURS.iter().cycle()) {
            let colour = RGBColor(red, green, blue);
            let style = ShapeStyle::from(&colour).stroke_width(2);
            let drawn = LineSeries::new(line.points.iter().copied(), style).point_size(3);
            chart
                .draw_series(drawn)
                .map_err(failed)?
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
        let labels = &mut chart.configure_series_labels();
        labels
            .position(SeriesLabelPosition::UpperLeft)
            .label_font((FONT, 13))
            .background_style(WHITE.mix(0.85))
            .border_style(RGBColor(200, 200, 200))
            .draw()
            .map_err(failed)?;
        area.present().map_err(failed)?;
    }
    Ok(text)
}

fn failed(error: impl std::fmt::Display) -> Failure {
    format!("can not draw: {error}").into()
}

fn bytes_text(bytes: f64) -> String {
    match bytes {
        bytes if bytes >= 1_048_576.0 => format!("{} MiB", (bytes / 1_048_576.0).round()),
        bytes if bytes >= 1024.0 => format!("{} KiB", (bytes / 1024.0).round()),
        bytes => format!("{}", bytes.round()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_its_lines_and_their_names() {
        let line = Line { name: "ring".to_owned(), points: vec![(8.0, 300.0), (65_536.0, 9000.0)] };
        let text = svg("round trips", "ns", &[line]).unwrap();
        assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"));
        assert!(text.contains("round trips") && text.contains("ring") && text.contains("<polyline"));
        assert!(svg("", "", &[]).is_err());
    }
}
