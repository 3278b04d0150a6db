//! Numbers so large that no axis can hold them count as infinite, which is to say that they are not drawn.

use crate::report::figure::{Axis, Figure, Mark, Panel};

/// The largest number that is drawn: beyond it the distance between two numbers may overflow.
const GREATEST: f64 = 1e300;

fn tame(value: &mut f64) {
    if value.abs() > GREATEST {
        *value = f64::INFINITY.copysign(*value);
    }
}

fn axis(axis: &mut Axis) {
    // A bound that cannot be drawn is no bound: it follows from the values.
    let drawn = |bound: &f64| bound.abs() <= GREATEST;
    axis.from = axis.from.filter(drawn);
    axis.to = axis.to.filter(drawn);
}

fn marks(marks: &mut [Mark]) {
    for mark in marks {
        tame(&mut mark.from);
        mark.to.iter_mut().for_each(tame);
    }
}

/// The figure with such numbers tamed.
pub(super) fn tamed(figure: &Figure) -> Figure {
    let mut figure = figure.clone();
    match &mut figure.panel {
        Panel::Curves(panel) => {
            axis(&mut panel.x);
            axis(&mut panel.y);
            marks(&mut panel.marks);
            for curve in &mut panel.curves {
                for (x, y) in &mut curve.points {
                    tame(x);
                    tame(y);
                }
                for (x, low, high) in &mut curve.spread {
                    tame(x);
                    tame(low);
                    tame(high);
                }
            }
        }
        Panel::Bars(panel) => {
            axis(&mut panel.axis);
            let estimates = panel.bars.iter_mut().flat_map(|bar| &mut bar.values).flatten();
            for estimate in estimates {
                tame(&mut estimate.value);
                tame(&mut estimate.low);
                tame(&mut estimate.high);
            }
        }
        Panel::Lanes(panel) => {
            axis(&mut panel.x);
            marks(&mut panel.marks);
            for stretch in panel.lanes.iter_mut().flat_map(|lane| &mut lane.stretches) {
                tame(&mut stretch.from);
                tame(&mut stretch.to);
            }
        }
    }
    figure
}
