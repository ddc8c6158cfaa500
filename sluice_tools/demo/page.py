"""The demo's page: timeline, audit, decisions and settings. One file without scripts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import htpy as h
from markupsafe import Markup

from sluice.model.planning import Decision, Outcome
from sluice_tools.demo.settings import DemoSettings

STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")


def render(
    *,
    svg: str,
    figures: Mapping[str, Any],
    failures: Sequence[str],
    decisions: Sequence[tuple[Decision, Outcome]],
    began_at: float,
    settings: DemoSettings,
) -> str:
    """The page's HTML.

    Args:
        svg: the timeline, made by us.
        figures: the audit, name -> value.
        failures: a sentence for each check of the audit that failed.
        decisions: those that wanted another capacity, oldest first.
        began_at: when the story began, epoch seconds.
        settings: what it ran with.
    """
    verdict = h.p(".held")["Every check passed."] if not failures else h.ul(".broken")[(h.li[one] for one in failures)]
    return str(
        h.html(lang="en")[
            h.head[
                h.meta(charset="utf-8"),
                h.meta(name="viewport", content="width=device-width, initial-scale=1"),
                h.title["Sluice: the demo's story"],
                h.style[Markup(STYLE)],  # noqa: S704 - our own file
            ],
            h.body[
                h.h1["Sluice: the demo's story"],
                h.figure[Markup(svg)],  # noqa: S704 - drawn by matplotlib from figures, no foreign text
                h.div(".columns")[
                    h.section[
                        h.h2["Audit: what was sent against what the database has"],
                        verdict,
                        h.table[
                            (
                                (h.tr[h.td[name.replace("_", " ")], h.td(".number")[str(value)]])
                                for name, value in figures.items()
                            )
                        ],
                    ],
                    h.section[
                        h.h2["Settings"],
                        h.p(".faint")["The demo uses short durations; AWS has longer ones."],
                        h.table[
                            h.tr[h.th["setting"], h.th["in the demo"], h.th["on AWS"]],
                            ((h.tr[h.td[name], h.td[here], h.td[there]]) for name, here, there in settings.in_words()),
                        ],
                    ],
                ],
                h.h2["Decisions"],
                _decisions(decisions, began_at),
            ],
        ]
    )


def _decisions(decisions: Sequence[tuple[Decision, Outcome]], began_at: float) -> h.Element:
    return h.table[
        h.tr[h.th["at"], h.th["from"], h.th["to"], h.th["why"]],
        (
            h.tr[
                h.td(".number")[f"{decision.at - began_at:.1f} s"],
                h.td(".number")[str(decision.current)],
                h.td(".number")[str(decision.want)],
                h.td[decision.sentence, h.br, h.span(".faint")[outcome.answer]],
            ]
            for decision, outcome in decisions
        ),
    ]


def write(page: Path, text: str) -> None:
    """Write the page."""
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, encoding="utf-8")
