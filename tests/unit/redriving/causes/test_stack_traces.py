"""Stack traces of five languages: the root cause, and the own place where it was raised."""

import json
import re

import pytest

from sluice.config.cause_patterns import names
from sluice.redriving.causes.stack_traces import condensed, read_exception
from sluice.redriving.failure_groups import failure_group
from tests.support.redrive_worlds import letter

TRACES = {
    "Python": (
        "requests.exceptions.HTTPError: 503 Server Error: Service Unavailable for url: https://pay.acme.com/17",
        "charge (orders/payments.py)",
        """Traceback (most recent call last):
  File "/var/task/orders/handler.py", line 42, in process
    charge(order)
    ~~~~~~^^^^^^^
  File "/var/task/orders/payments.py", line 17, in charge
    return session.post(url)
  File "/var/lang/lib/python3.13/site-packages/requests/sessions.py", line 637, in post
    return self.request("POST", url)
requests.exceptions.HTTPError: 503 Server Error: Service Unavailable for url: https://pay.acme.com/17
""",
    ),
    "Python, raised from": (
        "KeyError: 'street'",
        "load (app/a.py)",
        """Traceback (most recent call last):
  File "/app/a.py", line 2, in load
    return d["street"]
KeyError: 'street'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/app/b.py", line 9, in main
    raise OrderError("order 17") from e
orders.OrderError: order 17
""",
    ),
    "Python, a group": (
        "ValueError: bad currency",
        "f (app/x.py)",
        """  + Exception Group Traceback (most recent call last):
  |   File "/app/main.py", line 5, in <module>
  |     raise ExceptionGroup("many", [ValueError(1)])
  | ExceptionGroup: many (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/app/x.py", line 7, in f
    | ValueError: bad currency
    +------------------------------------
""",
    ),
    "Python, cut at its beginning": (
        "ValueError: bad",
        "f (app/x.py)",
        """  File "/app/x.py", line 3, in f
    g()
ValueError: bad""",
    ),
    "Java": (
        "java.net.SocketTimeoutException: Read timed out",
        "com.acme.http.Client (Client.java)",
        """2026-11-24 02:15:00 ERROR [main] c.a.Orders - failed
org.springframework.web.util.NestedServletException: Request processing failed; nested exception
\tat org.springframework.web.servlet.FrameworkServlet.processRequest(FrameworkServlet.java:1014)
\tat com.acme.orders.OrderController.create(OrderController.java:88)
Caused by: com.acme.orders.ChargeFailed: order 17
\tat com.acme.orders.Charger.charge(Charger.java:42)
\t... 36 more
\tSuppressed: java.io.IOException: close
\t\tat java.io.X.close(X.java:1)
\tCaused by: java.lang.Foo: no
Caused by: java.net.SocketTimeoutException: Read timed out
\tat java.base/java.net.SocketInputStream.read(SocketInputStream.java:168)
\tat com.acme.http.Client$$EnhancerBySpringCGLIB$$a1b2c3.post(Client.java:7)
\t... 41 more
""",
    ),
    "Node": (
        "TypeError: Cannot read properties of undefined (reading 'street')",
        "Object.process (src/orders.js)",
        """/app/src/orders.js:10
    throw new Error()
    ^

TypeError: Cannot read properties of undefined (reading 'street')
    at Object.process (/app/src/orders.js:10:15)
    at async handler (file:///app/index.mjs:3:1)
    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)

Node.js v22.1.0
""",
    ),
    "Node, with a cause": (
        "Error: connect ECONNREFUSED 10.0.3.17:5432",
        "charge (dist/charge.js)",
        """Error: could not charge order 17
    at charge (/app/dist/charge.js:22:11)
    at process.processTicksAndRejections (node:internal/process/task_queues:95:5) {
  [cause]: Error: connect ECONNREFUSED 10.0.3.17:5432
      at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1595:16) {
    errno: -111,
    code: 'ECONNREFUSED',
  }
}""",
    ),
    "Go, a panic of a panic": (
        "panic: runtime error: index out of range [5] with length 3",
        "pay.(*Charger).Charge (pay/charge.go)",
        """panic: runtime error: index out of range [5] with length 3 [recovered]
\tpanic: wrapped: runtime error

goroutine 17 [running]:
testing.tRunner.func1.2({0x1029, 0xc00})
\t/usr/local/go/src/testing/testing.go:1545 +0x238
panic({0x104c, 0x14000})
\t/usr/local/go/src/runtime/panic.go:914 +0x21f
github.com/acme/orders/pay.(*Charger).Charge(0xc0000, {0x1, 0x2})
\t/src/orders/pay/charge.go:42 +0x1d
main.main()
\t/src/orders/main.go:12 +0x1d
exit status 2""",
    ),
    "Go, a signal": (
        "panic: runtime error: invalid memory address or nil pointer dereference",
        "main.process (app/main.go)",
        """panic: runtime error: invalid memory address or nil pointer dereference
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x49d0b5]

goroutine 1 [running]:
main.process(...)
\t/app/main.go:12
""",
    ),
    "Go, an error with its stack": (
        "connection refused",
        "main.dial (app/dial.go)",
        """connection refused
main.dial
\t/app/dial.go:12
main.main
\t/app/main.go:9
runtime.main
\t/usr/local/go/src/runtime/proc.go:250""",
    ),
    ".NET": (
        "System.Net.Sockets.SocketException (111): Connection refused",
        "Acme.Payments.Client.PostAsync (Payments/Client.cs)",
        """System.InvalidOperationException: Could not charge order 17
 ---> System.Net.Http.HttpRequestException: Connection refused (payments:443)
 ---> System.Net.Sockets.SocketException (111): Connection refused
   at System.Net.Http.HttpConnectionPool.ConnectAsync(String host, Int32 port)
   --- End of inner exception stack trace ---
   at System.Net.Http.HttpConnectionPool.SendAsync(HttpRequestMessage request)
   at Acme.Payments.Client.PostAsync(String url) in /src/Payments/Client.cs:line 31
   --- End of inner exception stack trace ---
   at Acme.Orders.Handler.<Process>d__5.MoveNext() in C:\\src\\Orders\\Handler.cs:line 42
--- End of stack trace from previous location ---
   at Acme.Orders.Program.Main(String[] args)""",
    ),
    ".NET Framework": (
        "System.ComponentModel.Win32Exception: The wait operation timed out",
        "Acme.Db.Run",
        """\
System.AggregateException: One or more errors occurred. ---> System.Data.SqlClient.SqlException: Timeout expired. \
---> System.ComponentModel.Win32Exception: The wait operation timed out
   --- End of inner exception stack trace ---
   at System.Data.X.Y()
   at Acme.Db.Run(String sql)""",
    ),
    "Java, by Logback": (
        "java.net.ConnectException: Connection refused",
        "com.acme.http.Client.post (Client.java)",
        """com.acme.orders.ChargeFailed: order 17
\tat com.acme.orders.Charger.charge(Charger.java:42) ~[orders-1.7.3.jar:1.7.3]
Caused by: java.net.ConnectException: Connection refused
\tat java.base/sun.nio.ch.Net.pollConnect(Native Method) ~[na:na]
\tat com.acme.http.Client.post(Client.java:7) ~[orders-1.7.3.jar!/:1.7.3]
\t... 41 common frames omitted""",
    ),
    "Java, a message of Jackson": (
        'com.fasterxml.jackson.databind.exc.MismatchedInputException: Cannot deserialize from String "abc"',
        "com.acme.orders.Listener.read (Listener.java)",
        """com.fasterxml.jackson.databind.exc.MismatchedInputException: Cannot deserialize from String "abc"
 at [Source: (String)"{"id":"abc","customer":"Anna"}"; line: 1, column: 7] (through chain: com.acme.Order["id"])
\tat com.fasterxml.jackson.databind.DeserializationContext.weird(DeserializationContext.java:2000)
\tat com.acme.orders.Listener.read(Listener.java:31)""",
    ),
    "Node, a group": (
        "Error: connect ECONNREFUSED ::1:5432",
        "charge (dist/charge.js)",
        """AggregateError [ECONNREFUSED]:
    at internalConnectMultiple (node:net:1122:18)
    at charge (/app/dist/charge.js:22:11) {
  code: 'ECONNREFUSED',
  [errors]: [
    Error: connect ECONNREFUSED ::1:5432
        at createConnectionError (node:net:1652:14) {
      errno: -111,
      code: 'ECONNREFUSED',
    },
    Error: connect ECONNRESET 127.0.0.1:5432
        at other (/app/dist/other.js:3:1)
  ]
}""",
    ),
    "Node, a cause as pino and VError write it": (
        "Error: connect ECONNREFUSED 10.0.3.17:5432",
        "charge (dist/charge.js)",
        """Error: could not charge order 17
    at charge (/app/dist/charge.js:22:11)
caused by: Error: connect ECONNREFUSED 10.0.3.17:5432
    at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1595:16)""",
    ),
    "Node, its library alone": (
        "Error: connect ECONNREFUSED 10.0.3.17:5432",
        "TCPConnectWrap.afterConnect (node:net)",
        """Error: connect ECONNREFUSED 10.0.3.17:5432
    at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1595:16)""",
    ),
    "Go, a panic that was recovered": (
        "runtime error: index out of range [5] with length 3",
        "pay.(*Charger).Charge (pay/charge.go)",
        """runtime error: index out of range [5] with length 3
goroutine 17 [running]:
runtime/debug.Stack()
\t/usr/local/go/src/runtime/debug/stack.go:24 +0x65
github.com/acme/orders/middleware.Recover.func1()
\t/src/orders/middleware/recover.go:21 +0x1d
panic({0x104c, 0x14000})
\t/usr/local/go/src/runtime/panic.go:914 +0x21f
github.com/acme/orders/pay.(*Charger).Charge(0xc0000, {0x1, 0x2})
\t/src/orders/pay/charge.go:42 +0x1d""",
    ),
    ".NET, a group": (
        "Acme.OrderFailed: order 17",
        "Acme.Payments.Client.Post (Payments/Client.cs)",
        """System.AggregateException: One or more errors occurred. (order 17) (no)
 ---> Acme.OrderFailed: order 17
   at Acme.Payments.Client.Post(String url) in /src/Payments/Client.cs:line 31
   --- End of inner exception stack trace ---
   at Acme.Program.Main() in /src/Program.cs:line 3
 ---> (Inner Exception #1) Acme.Other: no
   at Acme.B.C() in /src/B.cs:line 1<---
""",
    ),
}
_LINE, _PLACE, _TEXT = TRACES["Python, raised from"]
TRACES["Python, while another was handled"] = (
    "orders.OrderError: order 17",
    "main (app/b.py)",
    _TEXT.replace(
        "The above exception was the direct cause of the following exception:",
        "During handling of the above exception, another exception occurred:",
    ),
)
_LINE, _PLACE, _TEXT = TRACES["Python"]
TRACES["Python, with line ends as JSON writes them"] = (_LINE, _PLACE, _TEXT.replace("\n", "\\n"))


_LINE, _PLACE, _TEXT = TRACES["Node"]
TRACES["Node, an error as JSON"] = (
    _LINE,
    _PLACE,
    json.dumps(
        {"level": 50, "err": {"type": "TypeError", "message": "17", "stack": _TEXT[_TEXT.index("TypeError") :]}}
    ),
)


@pytest.mark.parametrize("name", TRACES)
def test_trace_when_it_is_read(name: str) -> None:
    """The root cause and the nearest own place, in each language; the ledger's shorter form says the same."""
    line, place, text = TRACES[name]
    raised = read_exception(text)
    assert (raised.line, raised.place) == (line, place)
    assert raised.chain
    assert read_exception(condensed(text)) == raised


@pytest.mark.parametrize("name", TRACES)
def test_group_of_a_trace_when_the_next_deployment_moves_it(name: str) -> None:
    """Line numbers, releases and ids in its message make no other group; another function does."""
    _, _, text = TRACES[name]
    moved = re.sub(r"(?<=:)\d+|(?<=line )\d+|(?<=order )\d+|(?<=acme.com/)\d+", "4711", text)
    assert moved != text or name == ".NET Framework"  # which writes no numbers
    assert failure_group(letter(cause=moved)).id == failure_group(letter(cause=text)).id


def test_groups_of_a_trace_when_it_was_raised_elsewhere() -> None:
    """The same exception from two functions is two causes, and so it is from two files."""
    text = TRACES["Python"][2]
    ids = {
        failure_group(letter(cause=one)).id
        for one in (text, text.replace("in charge", "in refund"), text.replace("payments.py", "refunds.py"))
    }
    assert len(ids) == 3


def test_error_of_a_function_when_it_is_stamped_as_json() -> None:
    """A cause that is a runtime's error as JSON is read like one in an envelope, also in its shorter form."""
    text = json.dumps(
        {"errorType": "TypeError", "errorMessage": "x of order 17", "trace": ["TypeError: x", "at f (a.js:1)"]}
    )
    assert failure_group(letter(cause=text)).words == "TypeError: x of order <n> in f (a.js)"
    assert failure_group(letter(cause=condensed(text))) == failure_group(letter(cause=text))


def test_title_of_a_trace_when_it_is_shown() -> None:
    """The cause, masked, and the place."""
    group = failure_group(letter(cause=TRACES["Java"][2]))
    assert group.words == "java.net.SocketTimeoutException: Read timed out in com.acme.http.Client (Client.java)"


def test_patterns_when_a_trace_is_a_chain() -> None:
    """A pattern may name any exception of a chain: the outermost, the root cause, or one between."""
    group = failure_group(letter(cause=TRACES[".NET"][2]))
    for pattern in (
        "System.InvalidOperationException: Could not charge order 17",
        "*HttpRequestException*",
        "*SocketException (111)*",
    ):
        assert names([pattern], *group.said)
    assert not names(["*Client.cs*", "*stack trace*"], *group.said)


@pytest.mark.parametrize(
    "text",
    ["Order 17 ---> invoice: no mapping", "could not: at all", "panic sells", "Caused by: nothing that is known"],
)
def test_plain_text_when_it_reads_a_little_like_a_trace(text: str) -> None:
    """Then its first line is the cause."""
    assert read_exception(text) == (text, "", (text,))
