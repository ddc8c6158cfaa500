"""A fleet's document, checked whole: its sections, its settings, its problems in words, and its earlier versions."""
