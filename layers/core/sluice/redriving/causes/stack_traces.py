"""Reads the exception, and the own place where it was raised, out of a stack trace of Python, Java, Node, Go or .NET.

A trace of any of these languages is blocks of one form: a line that says what went wrong, its frames, and a line that
says how the next block hangs together with it. They differ in how a frame is written, and in which block is the cause.

*One rule for chains.* What counts is the root cause: the exception that the language itself calls the cause of the
others. Java and .NET write it last (`Caused by:`, `--->`), Node as `[cause]`, Go's repeated panics and Python's
`raise ... from` (`The above exception was the direct cause`) first. Python's `During handling of the above exception`
says what was being handled, not what is the cause: there the last exception counts, as in a trace without a chain. Of
a group of exceptions the first one counts.

*The place* is the frame nearest to the root cause that is neither of the language's own library nor of an installed
package, by file and function. Line numbers would split a group at each deployment, and are left out; so are folders
above the last one, which name a release or a host. The same exception from two functions is two causes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from sluice.config.cause_patterns import one_line
from sluice.redriving.causes.envelopes import error_said
from sluice.redriving.causes.masking import first_line, mask_line

READ_LIMIT: Final = 8_000  # characters of either end that are read: Python writes the cause at a trace's end
_LINES_MAX: Final = 400
_CHAIN_MAX: Final = 8  # exceptions of a chain that patterns see
_PLACE_LIMIT: Final = 80
_KEPT_LENGTH: Final = 2_000
_KEPT_LINE_LENGTH: Final = 300


class Raised(NamedTuple):
    """What went wrong, as it was said.

    Attributes:
        line: the root cause, on one line.
        place: function and file of the own frame nearest to it; empty where none is known.
        chain: every exception on the way, the outermost first, each on one line; `line` is among them.
    """

    line: str
    place: str = ""
    chain: tuple[str, ...] = ()


class _Frame(NamedTuple):
    function: str
    file: str
    own: bool


class _Block(NamedTuple):
    """One exception of a trace: the line that says it, and its frames, the one that raised it first of all."""

    line: str
    frames: list[_Frame]


# --------------------------------------------------------------------------- frames

_PYTHON: Final = re.compile(r'\s{1,12}File "([^"]{1,400})", line \d+(?:, in (.{1,200}))?$')
_AT: Final = re.compile(r"\s{1,40}at (?!\[Source: )(.{1,600})$")  # which Jackson writes into a message
_JAVA_PACKAGE: Final = re.compile(r" ~?\[[^\[\]]{1,200}\]$")  # of Logback and Log4j: ` ~[orders.jar:1.2]`
_GO_FILE: Final = re.compile(r"\t(\S{1,400}\.(?:go|s)):\d+(?: \+0x[0-9a-f]+)?$")
_DOTNET_IN: Final = re.compile(r"(.{1,400}?)\) in (.{1,300}?)(?::line \d+)?$")
_PARENS: Final = re.compile(r"(.{0,300}?) ?\(([^()]{0,400})\)$")
_FILE: Final = re.compile(r"[^\s,]{1,200}\.[A-Za-z]\w{0,5}")
_LINE_NUMBER: Final = re.compile(r"(?::\d+){1,2}$")

_LIBRARY_FILES: Final = re.compile(
    r"site-packages/|dist-packages/|/lib/python\d|^<|/var/(?:runtime|lang)/|node_modules/|^node:|^internal/|^\(?native"
    r"|/usr/(?:local/)?(?:go|lib)/|/go/pkg/mod/|@v\d|/goroot/|^\[|/rustc/",
    re.IGNORECASE,
)
_LIBRARY_CLASSES: Final = re.compile(
    r"(?:[\w.@-]{1,60}/){0,3}(?:java|javax|jdk|sun|com\.sun|jakarta|kotlin|kotlinx|scala|akka|groovy|org\.(?:apache"
    r"|springframework|hibernate|jboss|slf4j|postgresql|eclipse|glassfish|reactivestreams|aspectj|codehaus|junit|jooq"
    r"|quartz)|io\.(?:netty|micrometer|quarkus|micronaut|vertx|grpc|awspring|opentelemetry)|com\.(?:amazonaws|fasterxml"
    r"|google|mysql|zaxxer|rabbitmq|microsoft|oracle|netflix|mongodb)|software\.amazon|reactor|rx|okhttp3|retrofit2"
    r"|net\.bytebuddy|System|Microsoft|MassTransit|NServiceBus|Amazon|Newtonsoft|Npgsql|Dapper|Polly|AutoMapper|MediatR"
    r"|Castle)\.|runtime\.|testing\.|panic$"
    r"|(?:async )?(?:Promise\.|process\.processTicks|new Promise|Module\._|Array\.|Object\.<anonymous>$)"
)
_NOISE: Final = re.compile(
    r"\$\$\S*|(?:\$\d+)+|\[[^\]]{0,80}\]|`\d+|^(?:async|new) |<>c(?:__\w+)?\.|\.MoveNext$|b__\d+(?:_\d+)?"
)
_STATE_MACHINE: Final = re.compile(r"<(\w{1,100})>[dbg]__\w+(?:\|\w+)?")


def _frame(line: str, before: str) -> _Frame | None:
    """A line as a frame; Go writes the function on the line `before`."""
    if found := _PYTHON.match(line):
        return _made(found[2] or "", found[1])
    if (found := _GO_FILE.match(line)) and before:
        function = re.sub(r"\([^()]*\)$", "", before.removeprefix("created by ").partition(" in goroutine ")[0])
        return _made(function.rpartition("/")[2], found[1])
    if not (found := _AT.match(line)):
        return None
    said = _JAVA_PACKAGE.sub("", found[1].removesuffix(" {").strip())
    if inside := _DOTNET_IN.match(said):
        return _made(inside[1].partition("(")[0], inside[2])
    if inside := _PARENS.match(said):
        function, place = inside[1], inside[2]
        # .NET without symbols has the parameters in parentheses, Java and Node have the file.
        return _made(function, _LINE_NUMBER.sub("", place) if _looks_like_file(place) else "")
    return _made("", _LINE_NUMBER.sub("", said)) if _LINE_NUMBER.search(said) else _made(said, "")


def _looks_like_file(text: str) -> bool:
    return (
        bool(_LINE_NUMBER.search(text))
        or text in {"Native Method", "Unknown Source"}
        or text.startswith("node:")
        or _FILE.fullmatch(text) is not None
    )


def _made(function: str, file: str) -> _Frame:
    file = file.replace("\\", "/").removeprefix("file://")
    library = _LIBRARY_FILES.search(file) or _LIBRARY_CLASSES.match(function)
    return _Frame(function.strip(), file, not library)


def _shown(frame: _Frame) -> str:
    """Function and file of a frame, without what a compiler, a release or a host adds."""
    function = _NOISE.sub("", _STATE_MACHINE.sub(r"\1", frame.function)).strip(". ")
    file = "/".join(part for part in frame.file.split("/")[-2:] if part)
    said = f"{function} ({file})" if function and file else function or file
    return mask_file(said)[:_PLACE_LIMIT]


def mask_file(place: str) -> str:
    """A place with the ids and numbers in it masked; its file is a name of the code, and stays."""
    return " ".join("/".join(mask_line(part) for part in word.split("/")) for word in one_line(place).split(" "))


# --------------------------------------------------------------------------- blocks

_TRACEBACK: Final = re.compile(r"\s{0,40}(?:Exception Group )?Traceback \(most recent call (?:last|first)\):?$")
_MARGIN: Final = re.compile(r"\s{0,40}(?:[|+](?: |$|-[-+ ]*\d.*$|-+$))")  # of an exception group
_GROUP: Final = re.compile(r"\(\d+ sub-exceptions?\)$")
_DIRECT: Final = "The above exception was the direct cause of the following exception:"
_HANDLING: Final = "During handling of the above exception, another exception occurred:"
_CAUSED_BY: Final = re.compile(r"(?:[Cc]aused by: | ---> | {0,8}\[(?:cause|Symbol\(cause\))\]: )(.*)")
# Of a group of exceptions the first one counts: Node lists all, .NET the further ones behind the trace of the first.
_NODE_GROUP: Final = re.compile(r"\s{0,40}\[errors\]: \[$")
_DOTNET_GROUP: Final = re.compile(r"\s{0,8}---> \(Inner Exception #\d+\) ")
_SUPPRESSED: Final = re.compile(r"\s+Suppressed: ")
_PANIC: Final = re.compile(r"\s{0,8}(?:\[\d+\]\s)?panic: (.*)")
_NO_HEAD: Final = re.compile(r"goroutine \d+ .{0,100}\[|\[signal [A-Z]+|\s*\.\.\. \d+ ")
_INNER_END: Final = "--- End of inner exception stack trace ---"
_PREFIX: Final = re.compile(r"(?:Uncaught |Unhandled exception\.? |Exception in thread \"[^\"]{0,80}\" |\(node:\d+\) )")
_EXCEPTION: Final = re.compile(
    r"(?:[\w$]{1,80}[./\\:]{1,2}){0,12}[\w$]{0,80}"
    r"(?:Error|Exception|Throwable|Fault|Failure|Interrupt|Exit|Warning|Timeout|Group)"
    r"(?: \[\w{1,60}\]| \(\d{1,6}\)| \(0x[0-9A-Fa-f]{1,8}\))?(?:: |:?$)"
    r"|(?:[a-z_$][\w$]{0,60}\.){1,12}[A-Z][\w$]{0,80}(?:: |$)"
)
_LOOKS_LIKE_TRACE: Final = re.compile(
    r"Traceback \(most recent call|\n\s{1,40}at |\ngoroutine \d|(?:^|\n)panic: |\n\t\S+\.go:\d| ---> |[Cc]aused by: "
    r"|(?:^|\n)\s{1,12}File \""
)


def read_exception(text: str) -> Raised:
    """What went wrong, from a stack trace or from a plain text, whose first line it then is. Never raises."""
    text = shortened(error_said(text))
    if "\n" not in text and "\\n" in text:  # a trace that went through JSON twice
        text = text.replace("\\r", "").replace("\\n", "\n").replace("\\t", "\t").replace('\\"', '"')
    if not _LOOKS_LIKE_TRACE.search(text):
        return _plain(text)
    lines = [line[:1_000].rstrip() for line in text.splitlines()]
    if len(lines) > _LINES_MAX:
        lines = lines[: _LINES_MAX // 2] + lines[-_LINES_MAX // 2 :]
    python = "Traceback (most recent call" in text or any(_PYTHON.match(line) for line in lines)
    chain = (_PythonReader() if python else _Reader()).chain(lines)
    chain = [block for block in chain if block.line]
    if not chain:
        return _plain(text)
    said = [block.line for block in chain]
    shown = said if len(said) <= _CHAIN_MAX else [*said[: _CHAIN_MAX - 1], said[-1]]
    return Raised(chain[-1].line, _place(chain), tuple(dict.fromkeys(shown)))


def shortened(text: str) -> str:
    """Both ends of a text that is longer than what is read."""
    if len(text) <= 2 * READ_LIMIT:
        return text
    return f"{text[:READ_LIMIT]}\n{text[-READ_LIMIT:]}"


def condensed(text: str) -> str:
    """A text from which `read_exception` reads the same as from a longer one: for a ledger that keeps little."""
    raised = read_exception(text)
    if not raised.place and len(raised.chain) <= 1:
        return error_said(text).strip()[:_KEPT_LENGTH]
    outer, *causes = [*(line[:_KEPT_LINE_LENGTH] for line in raised.chain if line != raised.line), raised.line]
    place = [f"    at {raised.place}"] if raised.place else []
    return "\n".join([outer, *(f"Caused by: {line}" for line in causes), *place])


def _plain(text: str) -> Raised:
    line = first_line(text)
    return Raised(line, "", (line,) if line else ())


def _place(chain: Sequence[_Block]) -> str:
    """The own frame nearest to the root cause: in the root's own frames, or in those of what it was the cause of."""
    for block in reversed(chain):
        for frame in block.frames:
            if frame.own:
                return _shown(frame)
    return next((_shown(block.frames[0]) for block in reversed(chain) if block.frames), "")


@dataclass(slots=True)
class _PythonReader:
    """Reads a Python traceback line by line."""

    blocks: list[_Block] = field(default_factory=list)  # in the order of the text
    direct: list[bool] = field(default_factory=list)  # whether each block is the direct cause of the one behind it
    frames: list[_Frame] = field(default_factory=list)
    line: str = ""

    def chain(self, lines: Sequence[str]) -> list[_Block]:
        """The exceptions, the outermost first and the root cause last."""
        for line in lines:
            self._read(_MARGIN.sub("", line, count=1))
        self._close()
        blocks = self.blocks
        groups = [index for index, block in enumerate(blocks) if _GROUP.search(block.line)]
        if groups:  # of the exceptions in a group the first one counts
            inside = next((i for i in range(groups[0], len(blocks)) if i not in groups), len(blocks) - 1)
            return blocks[groups[0] : inside + 1]
        # From the last exception back along direct causes. What was only being handled is ahead of them all: patterns
        # see it, and it is neither root nor place.
        root = len(blocks) - 1
        while 0 < root <= len(self.direct) and self.direct[root - 1]:
            root -= 1
        return [_Block(block.line, []) for block in blocks[: max(root, 0)]] + blocks[max(root, 0) :][::-1]

    def _read(self, text: str) -> None:
        bare = text.strip()
        if bare in {_DIRECT, _HANDLING}:
            self._close()
            self.direct.append(bare == _DIRECT)
        elif _TRACEBACK.match(text):
            self._close()
        elif frame := _frame(text, ""):
            if not self.line:
                self.frames.append(frame)
        elif bare and not self.line and not text.startswith("  ") and self.frames:
            self.line = one_line(bare)

    def _close(self) -> None:
        if self.line:
            self.blocks.append(_Block(self.line, self.frames[::-1]))
        self.line, self.frames = "", []


@dataclass(slots=True)
class _Reader:
    """Reads a trace of Java, Node, Go or .NET line by line."""

    exceptions: list[_Block] = field(default_factory=list)  # the outermost first
    head: list[str] = field(default_factory=list)  # lines since the last frame
    panics: list[str] = field(default_factory=list)  # Go
    function: str = ""  # Go writes it on the line before its file
    suppressed_from: int | None = None  # Java: how far what was suppressed is indented
    ended_inside: int = 0  # .NET: inner exceptions whose frames have ended

    def chain(self, lines: Sequence[str]) -> list[_Block]:
        """The exceptions, the outermost first and the root cause last."""
        lines = _without_further(lines)
        is_go = not any(_CAUSED_BY.match(line) for line in lines)
        for line in lines:
            if self._is_suppressed(line):
                continue
            if is_go and (panic := _PANIC.match(line)):
                self.panics.append(one_line(panic[1].partition(" [recovered")[0]))
            else:
                self._read(line)
        if self.panics:
            self._open_panics()
        elif self.head:
            _open(self.exceptions, self.head, at_end=True)
        return self.exceptions

    def _is_suppressed(self, text: str) -> bool:
        indent = len(text) - len(text.lstrip())
        if self.suppressed_from is not None and indent <= self.suppressed_from and not text.startswith("\tat "):
            self.suppressed_from = None
        if _SUPPRESSED.match(text):
            self.suppressed_from = indent
        return self.suppressed_from is not None

    def _read(self, text: str) -> None:
        function, self.function = self.function, ""
        if _INNER_END in text:
            self.ended_inside += 1
        elif frame := _frame(text, function):
            self._add(frame)
        elif not _NO_HEAD.match(text):
            self.head.append(text)
            self.function = "" if text.startswith((" ", "\t")) else text

    def _add(self, frame: _Frame) -> None:
        if self.panics:
            self._open_panics()
        elif self.head:
            _open(self.exceptions, self.head)
        self.head = []
        if frame.function == "panic" and self.exceptions:  # Go: above it stands what was deferred, and ran after it
            self.exceptions[-1].frames.clear()
        if self.exceptions:
            # .NET writes the frames of the innermost exception first, then those of the one around it.
            self.exceptions[max(0, len(self.exceptions) - 1 - self.ended_inside)].frames.append(frame)

    def _open_panics(self) -> None:
        if not self.exceptions:
            self.exceptions += [_Block(f"panic: {said}", []) for said in reversed(self.panics)]


def _without_further(lines: Sequence[str]) -> list[str]:
    """The lines up to the end of the first exception of a group, which becomes the cause of what names the group."""
    kept: list[str] = []
    indent: int | None = None  # of the exceptions of Node's group
    for line in lines:
        if _DOTNET_GROUP.match(line):
            break
        if kept and _NODE_GROUP.match(kept[-1]):
            indent = len(line) - len(line.lstrip())
            line = f"Caused by: {line.lstrip()}"  # noqa: PLW2901 - as Java writes it
        elif indent is not None and len(line) - len(line.lstrip()) <= indent and not line.lstrip().startswith("}"):
            break
        kept.append(line)
    return kept


def _open(chain: list[_Block], head: Sequence[str], *, at_end: bool = False) -> None:
    """Add what the lines before a frame say: an exception, and the causes that are named along with it."""
    named = [line for text in head for line in _parted(text)]
    first = next((index for index, line in enumerate(named) if _CAUSED_BY.match(line)), len(named))
    causes = [_bare(match[1]) for line in named[first:] if (match := _CAUSED_BY.match(line))]
    if not chain:
        said = [_bare(line) for line in named[:first] if line.strip()]
        # Of the lines before the first frame the last that names an exception: before it may stand a log's own words.
        outer = next((line for line in reversed(said) if _EXCEPTION.match(line)), said[0] if said else "")
        if at_end and not any(_EXCEPTION.match(line) for line in (outer, *causes)):
            return
        causes = [outer, *causes] if outer else causes
    chain += [_Block(one_line(line), []) for line in causes]


def _parted(text: str) -> list[str]:
    """A line of .NET that names inner exceptions, in its parts."""
    if " ---> " not in text:
        return [text]
    outer, *causes = text.split(" ---> ")
    return ([outer] if outer.strip() else []) + [f" ---> {cause}" for cause in causes[:_CHAIN_MAX]]


def _bare(line: str) -> str:
    return _PREFIX.sub("", line.strip(), count=1).removesuffix(" {").rstrip()
