"""The dashboard's custom widget, rendered: `render(view, theme, width)` is pure and knows no AWS."""

from sluice.widget.page import render, render_message
from sluice.widget.text import Clock, offset_s
from sluice.widget.view import UTC_CLOCK, Part, Theme, Trouble, View

__all__ = ["UTC_CLOCK", "Clock", "Part", "Theme", "Trouble", "View", "offset_s", "render", "render_message"]
