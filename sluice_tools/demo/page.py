"""The demo's page: cost, timeline, story, pictures, audit, settings, decisions. One file without scripts."""

import base64
from collections.abc import Sequence
from pathlib import Path

import htpy as h
from markupsafe import Markup

from sluice.model.decisions import Decision, Outcome
from sluice_tools.demo.audit import Audit
from sluice_tools.demo.pictures import Pictures
from sluice_tools.demo.settings import DemoSettings
from sluice_tools.demo.story_time import StoryLine, in_story

STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")


def render(
    *,
    svg: str,
    audit: Audit,
    failures: Sequence[str],
    story: Sequence[StoryLine],
    pictures: Pictures,
    decisions: Sequence[tuple[Decision, Outcome]],
    began_at: float,
    settings: DemoSettings,
) -> str:
    """The page's HTML.

    Args:
        svg: the timeline, made by us.
        audit: the story's figures.
        failures: a sentence for each check of the audit that failed.
        story: the story's lines, oldest first.
        pictures: of widget and order page, or why there are none.
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
                h.p(".cost")[audit.cost()],
                h.figure[Markup(svg)],  # noqa: S704 - drawn by matplotlib from figures, no foreign text
                h.h2["The story"],
                _story(story, began_at),
                h.h2["What an operator saw"],
                _pictures(pictures),
                h.div(".columns")[
                    h.section[
                        h.h2["Audit: what was sent against what the database has"],
                        verdict,
                        h.table[((h.tr[h.td[label], h.td(".number")[figure]]) for label, figure in audit.in_words())],
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


def _story(story: Sequence[StoryLine], began_at: float) -> h.Element:
    return h.table(".story")[
        (
            h.tr[
                h.td(".number")[in_story(one.at, began_at)],
                h.td[h.strong[f"Act {one.act}: {one.sentence}"] if one.act else one.sentence],
            ]
            for one in story
        )
    ]


def _pictures(pictures: Pictures) -> h.Renderable:
    if pictures.missing:
        return h.p(".faint")[f"There are no pictures: {pictures.missing}."]
    return h.div(".pictures")[
        (
            h.figure[
                h.img(src=f"data:image/png;base64,{base64.b64encode(one.png).decode()}", alt=one.caption),
                h.figcaption[one.caption],
            ]
            for one in pictures.taken
        )
    ]


def _decisions(decisions: Sequence[tuple[Decision, Outcome]], began_at: float) -> h.Element:
    return h.table[
        h.tr[h.th["at"], h.th["from"], h.th["to"], h.th["why"]],
        (
            h.tr[
                h.td(".number")[in_story(decision.at, began_at)],
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
