//! Figures as curves.

use std::path::{Path, PathBuf};

use anyhow::Result;
use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;

/// A name and its points.
pub(crate) type Curve = (&'static str, Vec<(f64, f64)>);

/// Where the plots of full runs stand, beside the page that shows them.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("plots")
}

/// A drawing of one or more curves.
pub(crate) struct Plot<'a> {
    /// What is shown.
    pub(crate) title: &'a str,
    /// What the numbers along the bottom are.
    pub(crate) along: &'a str,
    /// What those of the left side are; they begin at 0.
    pub(crate) up: &'a str,
    /// Each step along the bottom is ten times the one before.
    pub(crate) is_tenfold: bool,
}

const SIZE: (u32, u32) = (760, 420);
const COLOURS: [RGBColor; 4] =
    [RGBColor(31, 119, 180), RGBColor(214, 39, 40), RGBColor(44, 160, 44), RGBColor(127, 127, 127)];

impl Plot<'_> {
    /// Draws to an SVG file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn draw(&self, file: &Path, curves: &[Curve]) -> Result<()> {
        let points = || curves.iter().flat_map(|(_, points)| points);
        let (least, most) =
            points().fold((f64::INFINITY, 1.0), |(least, most): (f64, f64), (at, _)| (least.min(*at), most.max(*at)));
        let top = points().fold(1.0, |top: f64, (_, value)| top.max(*value)) * 1.1;
        let area = SVGBackend::new(file, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut builder = ChartBuilder::on(&area);
        builder.caption(self.title, ("sans-serif", 18)).margin(12).x_label_area_size(42).y_label_area_size(64);
        if self.is_tenfold {
            self.curves(builder.build_cartesian_2d((least.max(1.0)..most).log_scale(), 0.0..top)?, curves)?;
        } else {
            self.curves(builder.build_cartesian_2d(0.0..most, 0.0..top)?, curves)?;
        }
        area.present()?;
        Ok(())
    }

    fn curves<'a, X>(
        &self,
        mut chart: ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, plotters::coord::types::RangedCoordf64>>,
        curves: &[Curve],
    ) -> Result<()>
    where
        X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let number = |value: &f64| match *value {
            large if large >= 1e6 => format!("{}M", large / 1e6),
            large if large >= 1e3 => format!("{}k", large / 1e3),
            small => format!("{small}"),
        };
        chart.configure_mesh().x_desc(self.along).y_desc(self.up).x_label_formatter(&number).draw()?;
        for ((name, points), colour) in curves.iter().zip(COLOURS) {
            chart
                .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(3))?
                .label(*name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .background_style(WHITE)
            .border_style(BLACK)
            .position(SeriesLabelPosition::UpperLeft)
            .draw()?;
        Ok(())
    }
}
