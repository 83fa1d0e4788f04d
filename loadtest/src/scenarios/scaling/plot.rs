//! A day of a fleet as a picture.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::simulation::Minute;

const SIZE: (u32, u32) = (1000, 560);
const GREY: RGBColor = RGBColor(215, 215, 215);
const DARK_BLUE: RGBColor = RGBColor(30, 90, 170);
const DARK_RED: RGBColor = RGBColor(190, 60, 40);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a> = ChartContext<
    'a,
    SVGBackend<'a>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

/// Draws workers and waiting tasks over a day.
pub(super) fn draw(path: &Path, minutes: &[Minute], slots: usize) -> anyhow::Result<()> {
    try_draw(path, minutes, slots).map_err(|error| anyhow::anyhow!("drawing {}: {error}", path.display()))
}

fn try_draw(path: &Path, minutes: &[Minute], slots: usize) -> Result<(), Box<dyn Error>> {
    let series = |of: &dyn Fn(&Minute) -> f64| -> Vec<(f64, f64)> {
        minutes.iter().enumerate().map(|(minute, fleet)| (minute as f64 / 60.0, of(fleet))).collect()
    };
    let workers = series(&|fleet| fleet.workers as f64);
    let busy = series(&|fleet| fleet.busy as f64 / slots as f64);
    let waiting = series(&|fleet| fleet.waiting as f64);

    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let (upper, lower) = area.split_vertically(SIZE.1 * 6 / 10);
    let mut chart = frame(&upper, "workers (grey), and how many of them are busy (blue)", &workers)?;
    chart.draw_series(AreaSeries::new(workers, 0.0, GREY))?;
    chart.draw_series(LineSeries::new(busy, DARK_BLUE))?;
    let mut chart = frame(&lower, "tasks that wait for a slot", &waiting)?;
    chart.draw_series(LineSeries::new(waiting, DARK_RED))?;
    area.present()?;
    Ok(())
}

/// Axes for a day, and up to the most of a series.
fn frame<'a>(area: &Area<'a>, caption: &str, series: &[(f64, f64)]) -> Result<Chart<'a>, Box<dyn Error>> {
    let most = series.iter().map(|(_, value)| *value).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 16))
        .margin(8)
        .x_label_area_size(24)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..24.0, 0.0..most * 1.05)?;
    let clock = |hour: &f64| format!("{hour:02.0}:00");
    let mut mesh = chart.configure_mesh();
    mesh.x_labels(13).light_line_style(TRANSPARENT).x_label_formatter(&clock).draw()?;
    Ok(chart)
}
