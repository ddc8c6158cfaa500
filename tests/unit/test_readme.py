"""The README is read within a minute."""

import re
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.md"
WORDS_MAX = 350


def test_readme_is_short_when_its_words_are_counted() -> None:
    """Without its code; a link's target counts as part of its word, and a picture has one word at least."""
    text = re.sub(r"^```.*?^```$", "", README.read_text(), flags=re.DOTALL | re.MULTILINE)

    assert len(text.split()) <= WORDS_MAX
    assert "![" in text
