//! Results as text: JSON lines and SVG plots.
