"""The dashboard's custom widget. `WidgetService` answers its events; `render(view, theme, width)` is pure HTML."""
