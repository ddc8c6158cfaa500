"""The dashboard's custom widget, rendered: `render(view, theme, width)` is pure and knows no AWS."""

from sluice.widget.dead_letters import FILTER_FIELD, FILTER_LIMIT
from sluice.widget.messages import PAGE, Scene, render_messages, render_whole
from sluice.widget.page import render, render_message
from sluice.widget.text import Clock, offset_s
from sluice.widget.view import UTC_CLOCK, Part, Theme, Trouble, View

__all__ = [
    "FILTER_FIELD",
    "FILTER_LIMIT",
    "PAGE",
    "UTC_CLOCK",
    "Clock",
    "Part",
    "Scene",
    "Theme",
    "Trouble",
    "View",
    "offset_s",
    "render",
    "render_message",
    "render_messages",
    "render_whole",
]
