"""The widget's chart: samples of decisions, scales, SVG paths, the drawing, and its description in words."""
